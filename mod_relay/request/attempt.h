/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * One attempt at a device, and when it is repeated: a safe request once, where a pooled connection
 * turned out to be closed. The request's thread calls.
 */
#ifndef MOD_RELAY_ATTEMPT_H
#define MOD_RELAY_ATTEMPT_H

#include "request.h"

/** @param unused how long no request has used the route's backend, -1 for its first one */
void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr, apr_interval_time_t unused);

/** mod_proxy is done, with *status; tries again where that is right, and leaves what came of it in
 * *status. */
void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status);

#endif
