/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * By which name a device is asked, and what it is told of the relay: Host, the name in TLS, the
 * fields that name the device by its public name, X-Forwarded-*. The route says which
 * (relay_needs.h), whatever ProxyPreserveHost says. The request's thread calls.
 */
#ifndef MOD_RELAY_ORIGIN_H
#define MOD_RELAY_ORIGIN_H

#include "request.h"

/** The Host that the device is given: host[:port]. Where that is the public name, as the visitor
 * wrote it. */
const char *mod_relay_origin_host(const request_rec *r, const mod_relay_request *rr);

/** The scheme by which the device is asked: `http` or `https`. */
const char *mod_relay_origin_scheme(const mod_relay_request *rr);

/** From here on until end mod_proxy asks the device as the route says; inside of
 * mod_relay_secrets_hide() and _show(). */
void mod_relay_origin_begin(request_rec *r, mod_relay_request *rr);
void mod_relay_origin_end(request_rec *r, mod_relay_request *rr);

/** The connections of a backend, whose pool is p, give the name of this route in TLS. */
void mod_relay_origin_mark(const mod_relay_request *rr, apr_pool_t *p);

#endif
