/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Names to routes, in the memory of one process. The cache also knows whether it is right: the
 * watcher tells it of each change, and how the link to Redis is. It is bounded in both directions,
 * the names that are there and those that are not (an attacker can ask for any number).
 *
 * Any thread may call. Nothing that is handed out is the cache's own memory.
 */
#ifndef MOD_RELAY_CACHE_H
#define MOD_RELAY_CACHE_H

#include "directives.h"
#include "relay_route.h"

typedef struct mod_relay_cache mod_relay_cache;

/** The link to Redis; MOD_RELAY_LINK_DOWN at first. */
typedef enum {
    MOD_RELAY_LINK_UP,       /* changes are reported: the cache is right */
    MOD_RELAY_LINK_DOWN,     /* Redis is away: what is known may be used up to RelayStaleMax */
    MOD_RELAY_LINK_UNTRACKED /* Redis does not report changes: nothing may be kept or used */
} mod_relay_link;

void mod_relay_cache_create(mod_relay_cache **out, apr_pool_t *p);

/* ---- for lookup.c */

/**
 * Asks the cache for an answer that may be used.
 * @param conf for RelayCacheTTL and RelayStaleMax
 * @param away Redis has just failed to answer, and the watcher may not know that yet
 * @param route out, copied into p; only for APR_SUCCESS
 * @param gone out, static; only for RELAY_EGONE
 * @return APR_SUCCESS, RELAY_EGONE or RELAY_ENOTFOUND as relay_route_find(); APR_EAGAIN: the cache
 * does not know, or may not say
 */
apr_status_t mod_relay_cache_get(mod_relay_cache *c, const char *name, const mod_relay_server *conf,
                                 int away, relay_route *route, const char **gone, apr_pool_t *p);

/**
 * The state of a name's part of the cache, to be taken before Redis is asked; put drops an answer
 * that a change has overtaken since.
 */
apr_uint32_t mod_relay_cache_ticket(mod_relay_cache *c, const char *name);

/**
 * Keeps an answer of Redis, if changes are being reported.
 * @param route or NULL: gone says why, or is NULL for a name that was never there
 */
void mod_relay_cache_put(mod_relay_cache *c, const char *name, apr_uint32_t ticket,
                         const relay_route *route, const char *gone);

/* ---- for the watcher */

/** A route has changed. */
void mod_relay_cache_drop(mod_relay_cache *c, const char *name);

/** Any route may have changed. */
void mod_relay_cache_flush(mod_relay_cache *c);

/** @param heard when Redis last gave a sign of life; from then on a link that was up is down */
void mod_relay_cache_link_set(mod_relay_cache *c, mod_relay_link link, apr_time_t heard);

/* ---- for mod_status */

mod_relay_link mod_relay_cache_link(mod_relay_cache *c);
void mod_relay_cache_count(mod_relay_cache *c, int *routes, int *absent);

#endif
