/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whether a Redis may forget records by itself. All records of a relay have a time to live, so that
 * the volatile-* policies evict them as well as the allkeys-* ones: any but noeviction ends open
 * tunnels when memory is full.
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
 * The same of an answer to INFO memory, for those who ask in a way of their own.
 * @param info its text, which ends with a NUL
 */
const char *relay_redis_evicts_by(const char *info, apr_pool_t *p);

#endif
