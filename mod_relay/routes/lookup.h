/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Name to route: the cache, else Redis. Any thread may call. Connections to Redis are kept; no call
 * waits longer than [redis] timeout for each answer.
 */
#ifndef MOD_RELAY_LOOKUP_H
#define MOD_RELAY_LOOKUP_H

#include "cache.h"

typedef struct mod_relay_lookups mod_relay_lookups;

/** @param s for the log */
void mod_relay_lookups_create(mod_relay_lookups **out, const relay_config *relay,
                              mod_relay_cache *cache, server_rec *s, apr_pool_t *p);

/**
 * Looks a name up.
 * @param conf for RelayCacheTTL and RelayStaleMax
 * @return as relay_route_find(), and RELAY_ERECORD for a route that this relay may not serve. There
 * is no *why: trouble is logged, each kind at most once in a few seconds
 */
apr_status_t mod_relay_lookup(mod_relay_lookups *l, const mod_relay_server *conf, const char *name,
                              relay_route *route, const char **gone, apr_pool_t *p);

/**
 * Where there are several servers: look-ups have to read where changes are reported, since a server
 * that is behind it would bring back what was just dropped. Older connections are used no more.
 * @param at NULL: changes are reported nowhere, and nothing is kept; any server may be read
 */
void mod_relay_lookups_follow(mod_relay_lookups *l, const relay_redis_url *at);

/** Redis has answered the watcher: the next look-up need not wait to ask it. */
void mod_relay_lookups_resume(mod_relay_lookups *l);

/** Closes connections that have long been unused; to be called about once a second. */
void mod_relay_lookups_sweep(mod_relay_lookups *l);

#endif
