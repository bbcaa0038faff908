/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** Warns of a Redis that throws records away when its memory is full (relay_redis_policy.h). */
#ifndef RLYD_GROUND_EVICTION_H
#define RLYD_GROUND_EVICTION_H

#include "rlyd.h"

/** Asks Redis for its policy. Logs once for each policy that evicts, and when it evicts no longer.
 * Call it on each connection, and now and then: the policy can change while Redis runs. */
void eviction_check(rlyd *d);

#endif
