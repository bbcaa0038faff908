/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What browsers remember of a name that has ended or changed hands. The request's thread calls.
 */
#ifndef MOD_RELAY_MEMORY_H
#define MOD_RELAY_MEMORY_H

#include "request/request.h"

/**
 * Tells a browser to forget what an earlier device left under the name; once the route is known.
 * @return whether the request is not for the device, but answered here: r->handler and r->filename
 * are set
 */
int mod_relay_memory_begin(request_rec *r, mod_relay_request *rr);

/** The same with the page for a name that has ended. */
void mod_relay_memory_ended(request_rec *r, mod_relay_answer answer);

#endif
