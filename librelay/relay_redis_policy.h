/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tells whether a Redis evicts records when its memory is full. All records of a relay have a time
 * to live, so the volatile-* policies evict them as the allkeys-* ones do. Every policy but
 * noeviction ends open tunnels.
 */
#ifndef RELAY_REDIS_POLICY_H
#define RELAY_REDIS_POLICY_H

#include "relay_redis.h"

/**
 * Asks with INFO memory (CONFIG is more than a part of the relay may use), within the connection's
 * own deadline.
 * @return the maxmemory-policy, in p, where there is a maxmemory and the policy evicts; NULL where
 * nothing is evicted, or where Redis does not say: no right to INFO, no answer (ctx->err), an
 * answer that is none
 */
const char *relay_redis_evicts(redisContext *ctx, apr_pool_t *p);

/**
 * The same of an answer to INFO memory that the caller has asked for itself, as rlyd does.
 * @param info its text, which ends with a NUL
 */
const char *relay_redis_evicts_by(const char *info, apr_pool_t *p);

#endif
