/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Pools for what many threads make: any thread may make subpools of one.
 */
#ifndef RELAY_POOL_H
#define RELAY_POOL_H

#include "relay.h"

/** A pool with an allocator of its own, which has a mutex. @return NULL where there is no memory */
apr_pool_t *relay_pool_locked(apr_pool_t *parent, const char *tag);

#endif
