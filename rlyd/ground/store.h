/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The connection to Redis that rlyd's commands go by, and Redis's clock. Redis answers in order: a
 * clock that is asked for is known before the answer to any later command comes.
 */
#ifndef RLYD_GROUND_STORE_H
#define RLYD_GROUND_STORE_H

#include "redis.h"

/** @param ready who is told each time that Redis serves (again); the clock has been asked for then
 */
void store_init(rlyd *d, rlyd_hook *const ready[RLYD_HOOKS_MAX]);

/** Connects again, with d->cfg as it is now. */
void store_reload(rlyd *d);

/** For redis_call() and redis_send(). */
redis_link *store_link(rlyd *d);

/** Asks for Redis's clock; with each answer it is known anew. */
void store_ask_time(rlyd *d);

/** Whether Redis's clock has ever been read. */
int store_knows_time(const rlyd *d);

/** Redis's time in ms at a moment of ours; 0 while its clock is not known. */
int64_t store_redis_ms(const rlyd *d, int64_t at_ms);

/** The reverse; only once the clock is known. */
int64_t store_local_ms(const rlyd *d, int64_t at_redis_ms);

#endif
