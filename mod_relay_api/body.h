/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A call's body: bounded, JSON, and read by the list of its members.
 */
#ifndef RELAY_API_BODY_H
#define RELAY_API_BODY_H

#include "api.h"
#include "member.h"

#define API_BODY_MAX 32768

/**
 * Reads the body, and what it is under an Idempotency-Key (c->once).
 * @param out as api_members_read() fills it
 * @param answer out: what the call was answered, where it was refused
 * @return whether it was read
 */
int api_body_read(api_call *c, void *out, const api_member *members, int *answer);

#endif
