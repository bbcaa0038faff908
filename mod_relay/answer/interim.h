/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What of a device's interim answers (101, 103) is changed. The request's thread calls.
 */
#ifndef MOD_RELAY_INTERIM_H
#define MOD_RELAY_INTERIM_H

#include "request/request.h"

void mod_relay_interim_begin(request_rec *r, mod_relay_request *rr);

/** From here on what is written is the final answer, or another request's. */
void mod_relay_interim_end(mod_relay_request *rr);

#endif
