/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * One attempt at a device. A safe request is repeated once where a pooled connection turned out to
 * be closed. The request's thread calls.
 */
#ifndef MOD_RELAY_ATTEMPT_H
#define MOD_RELAY_ATTEMPT_H

#include "request.h"

/** @param unused for how long no request has used the route's backend; -1: this is the first */
void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr, apr_interval_time_t unused);

/** mod_proxy is done, with *status. Tries again where that is right; *status is then the second
 * attempt's. */
void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status);

#endif
