/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * One attempt at a device. A request that was lost, because its pooled connection turned out to be
 * closed, is repeated once if HTTP allows that. The request's thread calls.
 */
#ifndef MOD_RELAY_ATTEMPT_H
#define MOD_RELAY_ATTEMPT_H

#include "request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr);

/** The answer has begun, and goes to the visitor. Calls after the first do nothing. */
void mod_relay_attempt_answered(request_rec *r, mod_relay_request *rr);

/** mod_proxy is done, with *status. Tries again where that is right; *status is then the second
 * attempt's. */
void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status);

#endif
