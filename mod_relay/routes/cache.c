/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Names to routes, in the memory of one process. Split into parts with a lock each, so that request
 * threads do not wait for each other. Bounded: a part that is full gives up any one entry for a new
 * one, and what is not there (an attacker can ask for any number of names) has a small share of its
 * own.
 */

#include "cache.h"
#include "mod_relay.h"

#include <apr_hash.h>
#include <apr_thread_mutex.h>
#include <stdlib.h>

#define PARTS 16
#define ROUTES_MAX 4096 /* a part: 65,536 routes in all */
#define ABSENT_MAX 256
#define ABSENT_TTL apr_time_from_sec(10)

typedef struct entry {
    mod_relay_cached kind;
    apr_time_t read; /* when Redis said so */
    apr_time_t dies; /* a route's own end */
    const char *gone;
    relay_route_packed packed;
} entry;

typedef struct part {
    apr_thread_mutex_t *mutex;
    apr_uint32_t ticket; /* counts the invalidations */
    apr_hash_t *routes, *absent;
} part;

struct mod_relay_cache {
    part parts[PARTS];
};

void mod_relay_cache_create(mod_relay_cache **out, apr_pool_t *p)
{
    mod_relay_cache *c = apr_pcalloc(p, sizeof(*c));
    int i;

    for (i = 0; i < PARTS; i++) {
        apr_pool_t *sub;

        apr_pool_create(&sub, p); /* hashes allocate from theirs under their own lock only */
        apr_thread_mutex_create(&c->parts[i].mutex, APR_THREAD_MUTEX_DEFAULT, sub);
        c->parts[i].routes = apr_hash_make(sub);
        c->parts[i].absent = apr_hash_make(sub);
    }
    *out = c;
}

static part *part_of(mod_relay_cache *c, const char *name)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &c->parts[apr_hashfunc_default(name, &len) % PARTS];
}

/* What is not there is kept as a route that has a name and nothing else. */
static entry *make_entry(const char *name, const relay_route *route, const char *gone)
{
    relay_route absent = {.name = name};
    const relay_route *from = route ? route : &absent;
    entry *e = malloc(APR_OFFSETOF(entry, packed) + relay_route_packed_size(from));

    if (!e)
        return NULL;
    relay_route_pack(&e->packed, from);
    e->read = mod_relay_clock();
    e->dies = route ? e->read + route->lives : 0;
    e->kind = route ? MOD_RELAY_HIT : gone ? MOD_RELAY_HIT_GONE : MOD_RELAY_HIT_NONE;
    e->gone = gone && strcmp(gone, "closed") == 0 ? "closed" : "expired";
    return e;
}

static void forget(apr_hash_t *hash, entry *e)
{
    if (e) {
        apr_hash_set(hash, e->packed.route.name, APR_HASH_KEY_STRING, NULL);
        free(e);
    }
}

static void forget_all(apr_hash_t *hash)
{
    apr_hash_index_t *i;
    void *e;

    for (i = apr_hash_first(NULL, hash); i; i = apr_hash_next(i)) {
        apr_hash_this(i, NULL, NULL, &e);
        forget(hash, e);
    }
}

static entry *any(apr_hash_t *hash)
{
    apr_hash_index_t *i = apr_hash_first(NULL, hash);
    void *e = NULL;

    if (i)
        apr_hash_this(i, NULL, NULL, &e);
    return e;
}

mod_relay_cached mod_relay_cache_get(mod_relay_cache *c, const char *name,
                                     apr_interval_time_t max_age, relay_route *route,
                                     const char **gone, apr_pool_t *p)
{
    part *t = part_of(c, name);
    apr_time_t now = mod_relay_clock();
    mod_relay_cached kind = MOD_RELAY_MISS;
    entry *e;

    apr_thread_mutex_lock(t->mutex);
    if ((e = apr_hash_get(t->routes, name, APR_HASH_KEY_STRING)) != NULL) {
        if (now >= e->dies) {
            kind = MOD_RELAY_HIT_OVER;
            *gone = "expired";
        }
        else if (now - e->read < max_age) {
            kind = MOD_RELAY_HIT;
            relay_route_unpack(route, &e->packed, p);
            route->lives = e->dies - now;
        }
    }
    else if ((e = apr_hash_get(t->absent, name, APR_HASH_KEY_STRING)) != NULL &&
             now - e->read < ABSENT_TTL) {
        kind = e->kind;
        *gone = e->gone;
    }
    apr_thread_mutex_unlock(t->mutex);
    return kind;
}

apr_uint32_t mod_relay_cache_ticket(mod_relay_cache *c, const char *name)
{
    part *t = part_of(c, name);
    apr_uint32_t ticket;

    apr_thread_mutex_lock(t->mutex);
    ticket = t->ticket;
    apr_thread_mutex_unlock(t->mutex);
    return ticket;
}

void mod_relay_cache_put(mod_relay_cache *c, const char *name, apr_uint32_t ticket,
                         const relay_route *route, const char *gone)
{
    part *t = part_of(c, name);
    apr_hash_t *into = route ? t->routes : t->absent;
    unsigned max = route ? ROUTES_MAX : ABSENT_MAX;
    entry *e = make_entry(name, route, gone);

    if (!e)
        return;
    apr_thread_mutex_lock(t->mutex);
    if (t->ticket == ticket) {
        forget(t->routes, apr_hash_get(t->routes, name, APR_HASH_KEY_STRING));
        forget(t->absent, apr_hash_get(t->absent, name, APR_HASH_KEY_STRING));
        if (apr_hash_count(into) >= max)
            forget(into, any(into));
        apr_hash_set(into, e->packed.route.name, APR_HASH_KEY_STRING, e);
        e = NULL;
    }
    apr_thread_mutex_unlock(t->mutex);
    free(e);
}

void mod_relay_cache_drop(mod_relay_cache *c, const char *name)
{
    part *t = part_of(c, name);

    apr_thread_mutex_lock(t->mutex);
    t->ticket++;
    forget(t->routes, apr_hash_get(t->routes, name, APR_HASH_KEY_STRING));
    forget(t->absent, apr_hash_get(t->absent, name, APR_HASH_KEY_STRING));
    apr_thread_mutex_unlock(t->mutex);
}

void mod_relay_cache_flush(mod_relay_cache *c)
{
    int i;

    for (i = 0; i < PARTS; i++) {
        part *t = &c->parts[i];

        apr_thread_mutex_lock(t->mutex);
        t->ticket++;
        forget_all(t->routes);
        forget_all(t->absent);
        apr_thread_mutex_unlock(t->mutex);
    }
}

void mod_relay_cache_count(mod_relay_cache *c, int *routes, int *absent)
{
    int i;

    *routes = *absent = 0;
    for (i = 0; i < PARTS; i++) {
        part *t = &c->parts[i];

        apr_thread_mutex_lock(t->mutex);
        *routes += (int)apr_hash_count(t->routes);
        *absent += (int)apr_hash_count(t->absent);
        apr_thread_mutex_unlock(t->mutex);
    }
}
