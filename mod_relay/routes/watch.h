/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The thread that keeps a realm's cache right: Redis tells it of each route that is written or has
 * expired. It also gives other parts of the realm a moment of work about once a second.
 */
#ifndef MOD_RELAY_WATCH_H
#define MOD_RELAY_WATCH_H

#include "realm.h"

typedef struct mod_relay_watch mod_relay_watch;

typedef enum {
    MOD_RELAY_LINK_UP,   /* invalidations arrive: the cache is right */
    MOD_RELAY_LINK_DOWN, /* Redis is away: the cache serves what it knows, up to RelayStaleMax */
    MOD_RELAY_LINK_UNTRACKED /* Redis is there but refuses tracking: nothing may be cached */
} mod_relay_link;

/** Starts the realm's watcher. */
apr_status_t mod_relay_watch_start(mod_relay_realm *realm, apr_pool_t *p);

/** Any thread. @param down_for out: how long the link has been down */
mod_relay_link mod_relay_watch_link(const mod_relay_watch *w, apr_interval_time_t *down_for);

/** Ends the thread; called once, before the pools of the child go. */
void mod_relay_watch_stop(mod_relay_watch *w);

#endif
