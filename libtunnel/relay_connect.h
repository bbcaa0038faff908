/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How visitors and devices reach a tunnel: URLs, ssh's arguments and its whole command. Pure;
 * results are in pool p.
 */
#ifndef RELAY_CONNECT_H
#define RELAY_CONNECT_H

#include "relay_config.h"
#include "relay_tunnel.h"

/** The address for a browser, or NULL for a service that is none of a browser's (tcp). */
const char *relay_connect_url(const relay_config *cfg, const relay_tunnel_route *route,
                              apr_pool_t *p);

/** The `-R` argument, or RemoteForward's, for a route: listen address and target.
 * @return NULL when the record's service cannot be read */
const char *relay_connect_forward(const relay_tunnel_route *route, const char *between,
                                  apr_pool_t *p);

/** The command that ssh runs to reach the relay inside TLS; also safe as words of a shell. */
const char *relay_connect_proxy(const relay_config *cfg, apr_pool_t *p);

/** The port for devices. @param tls whether SSH goes inside TLS, to the HTTPS port */
int relay_connect_port(const relay_config *cfg, int tls);

/** The whole ssh command for a device that has its own key. */
const char *relay_connect_command(const relay_config *cfg, const relay_tunnel *t, int tls,
                                  apr_pool_t *p);

/**
 * What whoever opens a service should know of it, or NULL.
 * @param host what the service is given as Host: public, device or a name
 */
const char *relay_connect_note(const char *service, const char *host, apr_pool_t *p);

#endif
