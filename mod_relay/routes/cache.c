/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The cache is split into parts with a lock each, so that request threads do not wait for each
 * other. A full part gives up any one entry for a new one. Names that are not there have a small
 * share of their own.
 */

#include "cache.h"

#include <apr_atomic.h>
#include <apr_hash.h>
#include <apr_thread_mutex.h>
#include <stdlib.h>

#define PARTS 16
#define ROUTES_MAX 4096 /* a part: 65,536 routes in all */
#define ABSENT_MAX 256
#define ABSENT_TTL apr_time_from_sec(10)
#define FOR_EVER ((apr_interval_time_t)APR_INT64_MAX)

typedef struct entry {
    apr_time_t read;           /* when Redis said so */
    apr_time_t dies;           /* a route's own end */
    const char *gone;          /* a name that is not there: why; NULL: it never was */
    relay_route_packed packed; /* of a name that is not there only the name */
} entry;

typedef struct part {
    apr_thread_mutex_t *mutex;
    apr_uint32_t ticket; /* counts the changes */
    apr_hash_t *routes, *absent;
} part;

struct mod_relay_cache {
    part parts[PARTS];
    volatile apr_uint32_t link;     /* mod_relay_link */
    apr_thread_mutex_t *link_mutex; /* guards down_since */
    apr_time_t down_since;
};

void mod_relay_cache_create(mod_relay_cache **out, apr_pool_t *p)
{
    mod_relay_cache *c = apr_pcalloc(p, sizeof(*c));
    int i;

    for (i = 0; i < PARTS; i++) {
        apr_pool_t *sub;

        apr_pool_create(&sub, p); /* a hash allocates from it under the part's lock only */
        apr_thread_mutex_create(&c->parts[i].mutex, APR_THREAD_MUTEX_DEFAULT, sub);
        c->parts[i].routes = apr_hash_make(sub);
        c->parts[i].absent = apr_hash_make(sub);
    }
    c->link = MOD_RELAY_LINK_DOWN;
    apr_thread_mutex_create(&c->link_mutex, APR_THREAD_MUTEX_DEFAULT, p);
    c->down_since = relay_clock();
    *out = c;
}

static part *part_of(mod_relay_cache *c, const char *name)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;

    return &c->parts[apr_hashfunc_default(name, &len) % PARTS];
}

static entry *make_entry(const char *name, const relay_route *route, const char *gone)
{
    relay_route absent = {.name = name};
    const relay_route *from = route ? route : &absent;
    entry *e = malloc(APR_OFFSETOF(entry, packed) + relay_route_packed_size(from));

    if (!e)
        return NULL;
    relay_route_pack(&e->packed, from);
    e->read = relay_clock();
    e->dies = route ? e->read + route->lives : 0;
    e->gone = route || !gone ? NULL : strcmp(gone, "closed") == 0 ? "closed" : "expired";
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

/* ---- is it right? */

void mod_relay_cache_link_set(mod_relay_cache *c, mod_relay_link link, apr_time_t heard)
{
    apr_thread_mutex_lock(c->link_mutex);
    if (mod_relay_cache_link(c) == MOD_RELAY_LINK_UP && link != MOD_RELAY_LINK_UP)
        c->down_since = heard; /* changes of any time since may not have been told */
    apr_atomic_set32(&c->link, link);
    apr_thread_mutex_unlock(c->link_mutex);
}

mod_relay_link mod_relay_cache_link(mod_relay_cache *c)
{
    return apr_atomic_read32(&c->link);
}

static apr_interval_time_t down_for(mod_relay_cache *c)
{
    apr_interval_time_t span;

    apr_thread_mutex_lock(c->link_mutex);
    span = relay_clock() - c->down_since;
    apr_thread_mutex_unlock(c->link_mutex);
    return span;
}

/* ---- what lookup.c asks */

/*
 * A route that has ended may have been extended, and any name may have been opened since. So while
 * the link is up an end is asked for once more; while it is down Redis may be back before the link
 * is, and only whoever asked it in vain goes by what was known.
 */
static apr_status_t get(part *t, const char *name, apr_interval_time_t max_age, int linked,
                        int away, relay_route *route, const char **gone, apr_pool_t *p)
{
    apr_time_t now = relay_clock();
    const entry *e = apr_hash_get(t->routes, name, APR_HASH_KEY_STRING);

    if (e && now >= e->dies) {
        *gone = "expired";
        return away ? RELAY_EGONE : APR_EAGAIN;
    }
    if (e && now - e->read < max_age) {
        relay_route_unpack(route, &e->packed, p);
        route->lives = e->dies - now;
        return APR_SUCCESS;
    }
    if (e || (e = apr_hash_get(t->absent, name, APR_HASH_KEY_STRING)) == NULL ||
        now - e->read >= ABSENT_TTL || !(linked || away))
        return APR_EAGAIN;
    if ((*gone = e->gone) != NULL)
        return RELAY_EGONE;
    return away ? APR_EAGAIN : RELAY_ENOTFOUND;
}

apr_status_t mod_relay_cache_get(mod_relay_cache *c, const char *name, const mod_relay_server *conf,
                                 int away, relay_route *route, const char **gone, apr_pool_t *p)
{
    part *t = part_of(c, name);
    mod_relay_link link = mod_relay_cache_link(c);
    apr_interval_time_t max_age = conf->cache_ttl;
    int linked = link == MOD_RELAY_LINK_UP;
    apr_status_t rv;

    if (link == MOD_RELAY_LINK_UNTRACKED)
        return APR_EAGAIN;
    if (!linked || away) {
        apr_interval_time_t unsure = linked ? 0 : down_for(c);

        max_age = unsure < conf->stale_max ? FOR_EVER : 0;
        if (away && !max_age)
            return APR_EAGAIN;
    }
    apr_thread_mutex_lock(t->mutex);
    rv = get(t, name, max_age, linked, away, route, gone, p);
    apr_thread_mutex_unlock(t->mutex);
    return rv;
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
    entry *e = NULL;

    if (mod_relay_cache_link(c) == MOD_RELAY_LINK_UP)
        e = make_entry(name, route, gone);
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

/* ---- what the watcher tells */

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
