/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Why a login came to nothing, as far as it can be known: for the log's line about it.
 */
#ifndef RLYD_OUTCOME_H
#define RLYD_OUTCOME_H

#include "session.h"

/** relay-authkeys, on behalf of that monitor, whose identity has been checked, does not grant the
 * key. */
void refusal_reported(rlyd *d, const proc_info *monitor, const message *refused);

/** @return a sentence without its end, in out */
const char *refusal_print(const session *s, char *out, size_t size);

#endif
