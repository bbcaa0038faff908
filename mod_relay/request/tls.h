/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * TLS with https:// services: mod_ssl's settings for it, whatever the virtual host says of other
 * proxied servers, and the first handshake of a backend.
 */
#ifndef MOD_RELAY_TLS_H
#define MOD_RELAY_TLS_H

#include "request.h"

/**
 * Makes a server's settings; check_config. mod_ssl completes them in post_config.
 * @return 0 if mod_ssl refuses them; a line in the log says why
 */
int mod_relay_tls_prepare(mod_relay_server *conf, server_rec *s, apr_pool_t *p, apr_pool_t *ptemp);

/**
 * The request, which has its backend, gets these settings. The first one of a backend makes the
 * connection, too: a service that refuses the name in the handshake is asked again without one
 * before any of the request is read.
 * @param conf mod_proxy's
 * @return OK, or HTTP_SERVICE_UNAVAILABLE where there is no connection
 */
int mod_relay_tls_begin(request_rec *r, mod_relay_request *rr, void *conf, const char *url);

/** The page for a request that failed, or -1: TLS is not the reason. */
int mod_relay_tls_page(request_rec *r, const mod_relay_request *rr);

#endif
