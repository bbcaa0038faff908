/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A service: where on the device's side a route's traffic goes, written as a URL,
 * `http://127.0.0.1:80`, `https://192.168.1.9`, `h2c://10.0.0.2:50051`, `tcp://127.0.0.1:22`.
 * A bare port number N means `http://127.0.0.1:N`.
 */
#ifndef RELAY_SERVICE_H
#define RELAY_SERVICE_H

#include "relay.h"

typedef struct relay_service {
    const char *scheme; /* http, https, h2c or tcp */
    const char *host;   /* lower case; an IPv6 address without brackets */
    apr_uint16_t port;
    const char
        *url; /* normalised: scheme://host[:port], the port left out when it is the scheme's own */
    const char *target; /* host:port as `ssh -R` takes it, an IPv6 address in brackets */
} relay_service;

/**
 * Parses a service strictly: no user, path (but a lone `/`), query or fragment; tcp needs a port.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_service_parse(relay_service **out, const char *text, apr_pool_t *p,
                                 const char **why);

/**
 * Splits `host' or `host:port'. The host is a DNS name, an IPv4 address, or an IPv6 address in
 * brackets.
 * @param host out: an IPv6 address without its brackets; points into authority
 * @param port out: 0 where there is none
 * @param authority in lower case; it is cut up
 * @return what is wrong, or NULL
 */
const char *relay_authority_split(const char **host, apr_uint16_t *port, char *authority);

/** Whether a scheme is one that httpd can serve to a browser (all but tcp), or known at all. */
int relay_scheme_is_web(const char *scheme);
int relay_scheme_is_known(const char *scheme);

#endif
