/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Names to routes, in the memory of one process. Bounded in both directions: what is there, and
 * what is not (an attacker can ask for any number of names). Any thread may call; nothing that is
 * handed out is the cache's own memory.
 */
#ifndef MOD_RELAY_CACHE_H
#define MOD_RELAY_CACHE_H

#include "relay_route.h"

typedef struct mod_relay_cache mod_relay_cache;

typedef enum {
    MOD_RELAY_MISS,
    MOD_RELAY_HIT,
    MOD_RELAY_HIT_OVER, /* a route that has ended, unless word of an extension is on its way */
    MOD_RELAY_HIT_GONE,
    MOD_RELAY_HIT_NONE
} mod_relay_cached;

void mod_relay_cache_create(mod_relay_cache **out, apr_pool_t *p);

/**
 * @param route out, copied into p; only for MOD_RELAY_HIT
 * @param gone out, static; only for MOD_RELAY_HIT_OVER and MOD_RELAY_HIT_GONE
 * @param max_age an entry that was read from Redis longer ago is a miss
 */
mod_relay_cached mod_relay_cache_get(mod_relay_cache *c, const char *name,
                                     apr_interval_time_t max_age, relay_route *route,
                                     const char **gone, apr_pool_t *p);

/**
 * The state of a name's part of the cache, to be taken before Redis is asked; put drops an answer
 * that an invalidation has overtaken since.
 */
apr_uint32_t mod_relay_cache_ticket(mod_relay_cache *c, const char *name);

/** route NULL: gone says why, or NULL for a name that was never there. */
void mod_relay_cache_put(mod_relay_cache *c, const char *name, apr_uint32_t ticket,
                         const relay_route *route, const char *gone);

void mod_relay_cache_drop(mod_relay_cache *c, const char *name);
void mod_relay_cache_flush(mod_relay_cache *c);
void mod_relay_cache_count(mod_relay_cache *c, int *routes, int *absent);

#endif
