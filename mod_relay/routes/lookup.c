/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Connections to Redis are taken from a stack and given back; there are never more of them than
 * threads that ask at once. When Redis does not answer, one request in a while tries, and all
 * others fail at once: no thread waits for a server that is known to be away.
 */

#include "lookup.h"

#include <apr_thread_mutex.h>

#define HOLD_OFF apr_time_from_msec(250)
/* No more lines than this in this time, and the same line only once. */
#define COMPLAIN_EVERY apr_time_from_sec(5)
#define COMPLAINTS_MAX 10
/* A rush leaves connections behind; they are closed when unused for so long. */
#define UNUSED_MAX apr_time_from_sec(30)

typedef struct connection {
    struct connection *next;
    apr_pool_t *pool;
    relay_store *store;
    apr_time_t used;
    unsigned source; /* which of the lookups' it was made for */
} connection;

struct mod_relay_lookups {
    const relay_config *relay;
    mod_relay_cache *cache;
    server_rec *server;
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex; /* guards all below */
    connection *idle;
    unsigned source;                 /* counts the servers that were followed */
    apr_pool_t *source_pool;         /* of followed */
    const relay_redis_url *followed; /* NULL: none */
    apr_time_t try_again;            /* before this nobody asks; 0 while Redis answers */
    /* trouble that was logged of late: */
    apr_time_t complaining; /* since when */
    int complaints;
    char complaint[200];
};

void mod_relay_lookups_create(mod_relay_lookups **out, const relay_config *relay,
                              mod_relay_cache *cache, server_rec *s, apr_pool_t *p)
{
    mod_relay_lookups *l = apr_pcalloc(p, sizeof(*l));

    l->relay = relay;
    l->cache = cache;
    l->server = s;
    l->pool = p;
    apr_thread_mutex_create(&l->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    apr_pool_create(&l->source_pool, p);
    *out = l;
}

static void close_all(connection *c)
{
    connection *next;

    for (; c; c = next) {
        next = c->next;
        apr_pool_destroy(c->pool);
    }
}

static connection *make(mod_relay_lookups *l)
{
    connection *c;
    apr_pool_t *p;
    const relay_redis_url *from;

    apr_pool_create(&p, l->pool);
    c = apr_pcalloc(p, sizeof(*c));
    c->pool = p;
    relay_store_create(&c->store, l->relay, p);
    apr_thread_mutex_lock(l->mutex);
    c->source = l->source;
    from = l->followed ? relay_redis_url_copy(l->followed, p) : l->relay->redis_read;
    apr_thread_mutex_unlock(l->mutex);
    relay_store_read_from(c->store, from);
    return c;
}

/* @return NULL while nobody should ask */
static connection *take(mod_relay_lookups *l)
{
    connection *c = NULL;
    apr_time_t now = mod_relay_clock();
    int allowed;

    apr_thread_mutex_lock(l->mutex);
    if ((allowed = now >= l->try_again) != 0) {
        /* After a failure one request tries, alone. */
        if (l->try_again)
            l->try_again = now + 4 * l->relay->redis_timeout;
        if ((c = l->idle) != NULL)
            l->idle = c->next;
    }
    apr_thread_mutex_unlock(l->mutex);
    return !allowed || c ? c : make(l);
}

static void give_back(mod_relay_lookups *l, connection *c, int failed)
{
    connection *old = NULL;

    c->used = mod_relay_clock();
    apr_thread_mutex_lock(l->mutex);
    l->try_again = failed ? c->used + HOLD_OFF : 0;
    if (c->source == l->source) {
        c->next = l->idle;
        l->idle = c;
    }
    else {
        c->next = NULL;
        old = c;
    }
    apr_thread_mutex_unlock(l->mutex);
    close_all(old);
}

void mod_relay_lookups_sweep(mod_relay_lookups *l)
{
    apr_time_t now = mod_relay_clock();
    connection **at, *old;

    apr_thread_mutex_lock(l->mutex);
    /* It is a stack: below a connection that has long been unused, all have been for longer. */
    for (at = &l->idle; *at && now - (*at)->used < UNUSED_MAX; at = &(*at)->next)
        ;
    old = *at;
    *at = NULL;
    apr_thread_mutex_unlock(l->mutex);
    close_all(old);
}

void mod_relay_lookups_follow(mod_relay_lookups *l, const relay_redis_url *at)
{
    connection *old;

    apr_thread_mutex_lock(l->mutex);
    apr_pool_clear(l->source_pool);
    l->followed = at ? relay_redis_url_copy(at, l->source_pool) : NULL;
    l->source++;
    old = l->idle;
    l->idle = NULL;
    apr_thread_mutex_unlock(l->mutex);
    close_all(old);
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
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, l->server, "RLY120 route %s cannot be looked up: %s",
                     name, why);
}

static apr_status_t from_redis(mod_relay_lookups *l, const char *name, relay_route *route,
                               const char **gone, apr_pool_t *p)
{
    apr_uint32_t ticket = mod_relay_cache_ticket(l->cache, name);
    const char *why = "";
    connection *c = take(l);
    apr_status_t rv;

    if (!c)
        return RELAY_EUNREACHABLE;
    rv = relay_route_find(route, c->store, name, gone, p, &why);
    give_back(l, c, rv == RELAY_EUNREACHABLE);
    if (rv == APR_SUCCESS)
        rv = relay_route_check(route, l->relay, p, &why);
    if (rv == APR_SUCCESS)
        mod_relay_cache_put(l->cache, name, ticket, route, NULL);
    else if (rv == RELAY_EGONE || rv == RELAY_ENOTFOUND)
        mod_relay_cache_put(l->cache, name, ticket, NULL, rv == RELAY_EGONE ? *gone : NULL);
    else
        complain(l, name, why);
    return rv;
}

apr_status_t mod_relay_lookup(mod_relay_lookups *l, const mod_relay_server *conf, const char *name,
                              relay_route *route, const char **gone, apr_pool_t *p)
{
    apr_status_t rv = mod_relay_cache_get(l->cache, name, conf, 0, route, gone, p), stale;

    if (rv != APR_EAGAIN)
        return rv;
    if ((rv = from_redis(l, name, route, gone, p)) != RELAY_EUNREACHABLE)
        return rv;
    stale = mod_relay_cache_get(l->cache, name, conf, 1, route, gone, p);
    return stale == APR_EAGAIN ? rv : stale;
}
