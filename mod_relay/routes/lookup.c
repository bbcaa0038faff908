/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Name to route: the cache, else Redis. Connections to Redis are taken from a stack and given back;
 * there are never more than threads that ask at once. When Redis does not answer, one request in a
 * while tries; the others are told at once, so that no thread waits for a server that is known to
 * be away.
 */

#include "lookup.h"
#include "cache.h"
#include "watch.h"

#include <apr_thread_mutex.h>

#define HOLD_OFF apr_time_from_msec(250)
/* At most this many lines in this time, and the same one only once. */
#define COMPLAIN_EVERY apr_time_from_sec(5)
#define COMPLAINTS_MAX 10
/* What a rush has left is closed after this. */
#define UNUSED_MAX apr_time_from_sec(30)
#define FOR_EVER ((apr_interval_time_t)APR_INT64_MAX)

typedef struct connection {
    struct connection *next;
    apr_pool_t *pool;
    relay_store *store;
    apr_time_t used;
} connection;

struct mod_relay_lookups {
    mod_relay_realm *realm;
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex; /* of all below */
    connection *idle;
    apr_time_t try_again; /* before this nobody asks; 0 while Redis answers */
    /* trouble that was logged of late: */
    apr_time_t complaining; /* since when */
    int complaints;
    char complaint[200];
};

void mod_relay_lookups_create(mod_relay_lookups **out, mod_relay_realm *realm, apr_pool_t *p)
{
    mod_relay_lookups *l = apr_pcalloc(p, sizeof(*l));

    l->realm = realm;
    l->pool = p;
    apr_thread_mutex_create(&l->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    *out = l;
}

/* NULL while nobody should ask. */
static connection *take(mod_relay_lookups *l)
{
    connection *c = NULL;
    apr_time_t now = mod_relay_clock();
    apr_pool_t *p;
    int allowed;

    apr_thread_mutex_lock(l->mutex);
    if ((allowed = now >= l->try_again) != 0) {
        /* Who tries after a failure tries alone. */
        if (l->try_again)
            l->try_again = now + 4 * l->realm->relay->redis_timeout;
        if ((c = l->idle) != NULL)
            l->idle = c->next;
    }
    apr_thread_mutex_unlock(l->mutex);
    if (!allowed || c)
        return c;
    apr_pool_create(&p, l->pool);
    c = apr_pcalloc(p, sizeof(*c));
    c->pool = p;
    relay_store_create(&c->store, l->realm->relay, p);
    return c;
}

static void give_back(mod_relay_lookups *l, connection *c, int failed)
{
    c->used = mod_relay_clock();
    apr_thread_mutex_lock(l->mutex);
    c->next = l->idle;
    l->idle = c;
    l->try_again = failed ? c->used + HOLD_OFF : 0;
    apr_thread_mutex_unlock(l->mutex);
}

void mod_relay_lookups_sweep(mod_relay_lookups *l)
{
    apr_time_t now = mod_relay_clock();
    connection **at, *old, *next;

    apr_thread_mutex_lock(l->mutex);
    /* It is a stack: behind one that has long been unused none was used later. */
    for (at = &l->idle; *at && now - (*at)->used < UNUSED_MAX; at = &(*at)->next)
        ;
    old = *at;
    *at = NULL;
    apr_thread_mutex_unlock(l->mutex);
    for (; old; old = next) {
        next = old->next;
        apr_pool_destroy(old->pool);
    }
}

void mod_relay_lookups_resume(mod_relay_lookups *l)
{
    apr_thread_mutex_lock(l->mutex);
    l->try_again = 0;
    apr_thread_mutex_unlock(l->mutex);
}

static void complain(mod_relay_lookups *l, const char *name, const char *why)
{
    apr_time_t now = mod_relay_clock();
    int due;

    apr_thread_mutex_lock(l->mutex);
    if (!l->complaining || now - l->complaining >= COMPLAIN_EVERY) {
        l->complaining = now;
        l->complaints = 0;
        l->complaint[0] = '\0';
    }
    due = l->complaints < COMPLAINTS_MAX && strncmp(why, l->complaint, sizeof(l->complaint) - 1);
    if (due) {
        l->complaints++;
        apr_cpystrn(l->complaint, why, sizeof(l->complaint));
    }
    apr_thread_mutex_unlock(l->mutex);
    if (due)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, l->realm->server,
                     "RLY120 route %s cannot be looked up: %s", name, why);
}

/* up: changes are being reported, and Redis can be asked. */
static apr_status_t from_cache(mod_relay_realm *realm, const char *name,
                               apr_interval_time_t max_age, int up, relay_route *route,
                               const char **gone, apr_pool_t *p)
{
    switch (mod_relay_cache_get(realm->cache, name, max_age, route, gone, p)) {
    case MOD_RELAY_HIT:
        return APR_SUCCESS;
    case MOD_RELAY_HIT_OVER:
        return up ? APR_EAGAIN : RELAY_EGONE;
    case MOD_RELAY_HIT_GONE:
        return RELAY_EGONE;
    case MOD_RELAY_HIT_NONE:
        return up ? RELAY_ENOTFOUND : APR_EAGAIN;
    default:
        return APR_EAGAIN;
    }
}

static apr_status_t from_redis(mod_relay_realm *realm, const char *name, relay_route *route,
                               const char **gone, apr_pool_t *p)
{
    apr_uint32_t ticket = mod_relay_cache_ticket(realm->cache, name);
    apr_interval_time_t down_for;
    const char *why = "";
    connection *c = take(realm->lookups);
    apr_status_t rv = RELAY_EUNREACHABLE;

    if (c) {
        rv = relay_route_find(route, c->store, name, gone, p, &why);
        give_back(realm->lookups, c, rv == RELAY_EUNREACHABLE);
        if (rv == APR_SUCCESS)
            rv = relay_route_check(route, realm->relay, p, &why);
        if (rv == RELAY_EUNREACHABLE || rv == RELAY_ERECORD)
            complain(realm->lookups, name, why);
    }
    /* Only while changes are reported may an answer be kept; the ticket was taken before Redis was
     * asked. */
    if (mod_relay_watch_link(realm->watch, &down_for) == MOD_RELAY_LINK_UP) {
        if (rv == APR_SUCCESS)
            mod_relay_cache_put(realm->cache, name, ticket, route, NULL);
        else if (rv == RELAY_EGONE || rv == RELAY_ENOTFOUND)
            mod_relay_cache_put(realm->cache, name, ticket, NULL, rv == RELAY_EGONE ? *gone : NULL);
    }
    return rv;
}

apr_status_t mod_relay_lookup(mod_relay_realm *realm, const mod_relay_server *conf,
                              const char *name, relay_route *route, const char **gone,
                              apr_pool_t *p)
{
    apr_interval_time_t down_for;
    mod_relay_link link = mod_relay_watch_link(realm->watch, &down_for);
    int may_be_stale = link != MOD_RELAY_LINK_UNTRACKED && down_for < conf->stale_max;
    apr_status_t rv = APR_EAGAIN;

    if (link == MOD_RELAY_LINK_UP)
        rv = from_cache(realm, name, conf->cache_ttl, 1, route, gone, p);
    else if (link == MOD_RELAY_LINK_DOWN)
        rv = from_cache(realm, name, may_be_stale ? FOR_EVER : 0, 0, route, gone, p);
    if (rv != APR_EAGAIN)
        return rv;
    rv = from_redis(realm, name, route, gone, p);
    /* Redis has just gone, and the watcher does not know yet. */
    if (rv == RELAY_EUNREACHABLE && may_be_stale) {
        apr_status_t stale = from_cache(realm, name, FOR_EVER, 0, route, gone, p);

        return stale == APR_EAGAIN ? rv : stale;
    }
    return rv;
}
