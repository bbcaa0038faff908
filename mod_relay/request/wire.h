/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A wire is one connection to a device: what it has carried, and how it ended. mod_proxy says of a
 * request that failed neither whether its connection was new, nor whether anything of an answer had
 * come. Both decide whether the request may be sent again, because it cannot have acted.
 *
 * A request's thread calls. Requests find their wire, and wires their request, by the thread:
 * mod_proxy makes and checks connections in the thread of the request that they are for.
 */
#ifndef MOD_RELAY_WIRE_H
#define MOD_RELAY_WIRE_H

#include "request.h"

/**
 * mod_proxy is about to ask the device, or to ask it again. rr->backend and rr->repeatable are
 * known; wires that rr has had are forgotten.
 */
void mod_relay_wire_begin(mod_relay_request *rr);

/** mod_proxy is done. rr->lost is known from here on. */
void mod_relay_wire_end(mod_relay_request *rr);

#endif
