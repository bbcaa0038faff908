/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Browsers remember the pages, workers and cookies of a name that has ended or changed hands. Here
 * they are made to forget them. The request's thread calls.
 */
#ifndef MOD_RELAY_MEMORY_H
#define MOD_RELAY_MEMORY_H

#include "request/request.h"

/**
 * Tells a browser to forget what an earlier device left under the name; as soon as the route is
 * known.
 * @return 1 if the request is answered here and not by the device: r->handler and r->filename are
 * set then
 */
int mod_relay_memory_begin(request_rec *r, mod_relay_request *rr);

/** Does the same with the page for a name that has ended. */
void mod_relay_memory_ended(request_rec *r, mod_relay_answer answer);

#endif
