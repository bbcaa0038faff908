/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Name to route: the cache, else Redis. Any thread may call. Connections to Redis are kept; no call
 * waits longer than [redis] timeout for each answer.
 */
#ifndef MOD_RELAY_LOOKUP_H
#define MOD_RELAY_LOOKUP_H

#include "realm.h"
#include "relay_route.h"

typedef struct mod_relay_lookups mod_relay_lookups;

void mod_relay_lookups_create(mod_relay_lookups **out, mod_relay_realm *realm, apr_pool_t *p);

/**
 * Cache, else Redis.
 * @return as relay_route_find(), without *why: trouble is logged here, each kind at most once in a
 * few seconds
 */
apr_status_t mod_relay_lookup(mod_relay_realm *realm, const mod_relay_server *conf,
                              const char *name, relay_route *route, const char **gone,
                              apr_pool_t *p);

/** The watcher has reached Redis again: the next look-up may, too. */
void mod_relay_lookups_resume(mod_relay_lookups *l);

/** Closes what has long been unused; the watcher calls it about once a second. */
void mod_relay_lookups_sweep(mod_relay_lookups *l);

#endif
