/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Some devices log a connection in and not a request (NTLM, Negotiate). A visitor of such a device
 * gets a backend of his own, which ends with his connection. The request's thread calls.
 */
#ifndef MOD_RELAY_PINNED_H
#define MOD_RELAY_PINNED_H

#include "backend.h"

/**
 * @param out the backend of this visitor's own for the route, or NULL where he needs none
 * @return OK, or the status to answer with
 */
int mod_relay_pinned_acquire(request_rec *r, mod_relay_request *rr, mod_relay_backend **out);

/** To be called when the head of the device's answer is known and can still be changed. */
void mod_relay_pinned_answer(request_rec *r, const mod_relay_request *rr);

#endif
