/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The watcher is a thread that keeps a cache right: Redis tells it of each route that is written or
 * has expired, and it tells the cache, and others that want to hear of it.
 */
#ifndef MOD_RELAY_WATCH_H
#define MOD_RELAY_WATCH_H

#include "cache.h"

typedef struct mod_relay_watch mod_relay_watch;

/** The others; the watcher's thread calls these. */
typedef struct mod_relay_watch_calls {
    void (*changed)(void *baton, const char *name); /* a route; NULL: any may have changed */
    void (*answers)(void *baton);                   /* Redis has begun to answer */
    /* the server that reports changes from now on, of several; NULL: none does */
    void (*follows)(void *baton, const relay_redis_url *at);
    void (*tick)(void *baton); /* about once a second, always */
    void *baton;
} mod_relay_watch_calls;

/**
 * Starts a watcher.
 * @param s for the log
 * @param p outlives the watcher
 */
apr_status_t mod_relay_watch_start(mod_relay_watch **out, const relay_config *relay,
                                   mod_relay_cache *cache, const mod_relay_watch_calls *calls,
                                   server_rec *s, apr_pool_t *p);

/** Ends the thread; to be called once, before the pools of the child go. */
void mod_relay_watch_stop(mod_relay_watch *w);

#endif
