/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The changes to a device's interim answers (101, 103). The request's thread calls.
 */
#ifndef MOD_RELAY_INTERIM_H
#define MOD_RELAY_INTERIM_H

#include "request/request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_interim_begin(request_rec *r, mod_relay_request *rr);

/** From here on the final answer is written, or another request's. Calls after the first do
 * nothing. */
void mod_relay_interim_end(mod_relay_request *rr);

#endif
