/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whether Redis may throw records away when its memory is full: a tunnel whose record is evicted ends, and nobody has closed it.
 */
#ifndef RELAY_REDIS_POLICY_H
#define RELAY_REDIS_POLICY_H

#include "relay.h"

/**
 * @param info what `INFO memory` says; any text
 * @return NULL if it evicts nothing (no maxmemory, or noeviction, or it does not say); else its maxmemory-policy, from p
 */
const char *relay_redis_policy_evicts(const char *info, apr_pool_t *p);

#endif
