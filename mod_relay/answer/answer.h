/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The changes to a device's final answer on its way to the visitor. The request's thread calls.
 */
#ifndef MOD_RELAY_ANSWER_H
#define MOD_RELAY_ANSWER_H

#include "request/request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_answer_begin(request_rec *r, mod_relay_request *rr);

/** mod_proxy is done. */
void mod_relay_answer_end(request_rec *r, mod_relay_request *rr);

#endif
