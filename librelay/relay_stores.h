/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A pool of stores for many threads: there are never more connections to Redis than threads that
 * ask at once. When Redis does not answer, one thread in a while tries, and all others are told at
 * once: none waits for a server that is known to be away. Any thread may call.
 */
#ifndef RELAY_STORES_H
#define RELAY_STORES_H

#include "relay_store.h"

typedef struct relay_stores relay_stores;

/** A store, lent to one thread. */
typedef struct relay_lent {
    relay_store *store;
    /* relay_stores' own: */
    struct relay_lent *next;
    apr_pool_t *pool;
    apr_time_t used;
    unsigned source; /* which of the pool's it was made for */
} relay_lent;

/** @param p has a locked allocator: any thread makes subpools of it */
void relay_stores_create(relay_stores **out, const relay_config *cfg, apr_pool_t *p);

/** From here on stores read there (relay_store_read_from()). Those that were made before go. */
void relay_stores_read_from(relay_stores *s, const relay_redis_url *url);

/** @return NULL while nobody should ask */
relay_lent *relay_stores_take(relay_stores *s);

/** @param failed whether Redis could not be reached */
void relay_stores_give_back(relay_stores *s, relay_lent *lent, int failed);

/** Redis has answered somebody else: the next one need not wait to ask it. */
void relay_stores_resume(relay_stores *s);

/** Closes connections that have long been unused; to be called now and then. */
void relay_stores_sweep(relay_stores *s);

/** Whether this trouble is to be logged: the same not twice within seconds, nor too many. */
int relay_stores_complain(relay_stores *s, const char *why);

#endif
