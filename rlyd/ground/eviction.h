/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** Warns of a Redis that throws records away when its memory is full (relay_redis_policy.h). */
#ifndef RLYD_EVICTION_H
#define RLYD_EVICTION_H

#include "rlyd.h"

/** Asks Redis; says so when it evicts, once for each policy, and when it no longer does. Call it on
 * each connection, and now and then: it can be changed while Redis runs. */
void eviction_check(rlyd *d);

#endif
