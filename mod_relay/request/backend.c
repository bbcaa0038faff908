/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Without a worker of the route's own mod_proxy would use its generic worker. That makes a new
 * connection for every request, and so a new SSH channel and one more round trip to the device.
 *
 * The workers are made at run time, and only this file knows them (ap_proxy_define_worker() without
 * a configuration, as mod_proxy_hcheck does it).
 */

#include "backend.h"
#include "origin.h"
#include "upgrade.h"
#include "weak_proxy.h"

#include <apr_thread_mutex.h>

/* The pool of a backend has the backend itself under this name. */
#define KEY "mod_relay_backend"

/* A doubted backend waits this long for a request that finds its route unchanged. */
#define DOUBT_GRACE apr_time_from_sec(1)

typedef struct mod_relay_backend {
    /* The server counts: servers may differ in their time-outs. */
    const mod_relay_server *server;
    const char *tunnel, *origin, *name;
    apr_pool_t *pool; /* it and all it has, with the connections */
    proxy_worker *worker;
    mod_relay_habits habits;
    apr_interval_time_t idle;
    int refs;           /* requests; none where it is private (pinned.c) */
    apr_time_t doubted; /* since when, or 0 */
    apr_time_t used;    /* when a request last began or ended, 0 at first */
    mod_relay_backend_tls tls;
    mod_relay_backend_device_of device;
    mod_relay_backends *all;
    struct mod_relay_backend *next; /* in its list, or in that of retired ones */
} backend;

#define LISTS 1024

struct mod_relay_backends {
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex; /* guards the lists, and refs, doubted and used of each backend */
    backend *lists[LISTS];     /* by the tunnel's id */
    int count;                 /* of backends in them */
    backend *retired;          /* not in the lists any more, perhaps still in use */
};

void mod_relay_backends_create(mod_relay_backends **out, apr_pool_t *p)
{
    mod_relay_backends *b = apr_pcalloc(p, sizeof(*b));

    b->pool = p;
    apr_thread_mutex_create(&b->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    *out = b;
}

/* ---- lists; under the lock */

/* Ids are random, so that lists are short. */
static backend **list_of(mod_relay_backends *b, const char *tunnel)
{
    unsigned hash = 0;
    int i;

    for (i = 0; i < 4 && tunnel[i]; i++)
        hash = hash * 31 + (unsigned char)tunnel[i];
    return &b->lists[hash % LISTS];
}

static void add(mod_relay_backends *b, backend *be)
{
    backend **list = list_of(b, be->tunnel);

    be->next = *list;
    *list = be;
    b->count++;
}

static backend *take_out(mod_relay_backends *b, backend **at)
{
    backend *be = *at;

    *at = be->next;
    b->count--;
    return be;
}

int mod_relay_backend_is_for(const mod_relay_backend *be, const mod_relay_request *rr)
{
    return be->server == rr->server && strcmp(be->tunnel, rr->route.tunnel) == 0 &&
           strcmp(be->origin, rr->route.origin) == 0;
}

/* ---- what changes and what ends */

void mod_relay_backends_doubt(mod_relay_backends *b, const char *name)
{
    backend *be;
    int i;

    apr_thread_mutex_lock(b->mutex);
    for (i = 0; i < LISTS; i++)
        for (be = b->lists[i]; be; be = be->next)
            if (!name || strcmp(be->name, name) == 0)
                be->doubted = relay_clock();
    apr_thread_mutex_unlock(b->mutex);
}

static int is_over(const backend *be, apr_time_t now)
{
    return !be->refs &&
           (be->doubted ? now - be->doubted >= DOUBT_GRACE : now - be->used >= be->idle);
}

void mod_relay_backends_sweep(mod_relay_backends *b)
{
    apr_array_header_t *old = NULL;
    apr_time_t now = relay_clock();
    apr_pool_t *p;
    backend **at;
    int n;

    apr_thread_mutex_lock(b->mutex);
    if (!b->count && !b->retired) {
        apr_thread_mutex_unlock(b->mutex);
        return;
    }
    apr_pool_create(&p, b->pool);
    old = apr_array_make(p, 8, sizeof(backend *));
    for (n = 0; n < LISTS; n++)
        for (at = &b->lists[n]; *at;) {
            if (is_over(*at, now))
                APR_ARRAY_PUSH(old, backend *) = take_out(b, at);
            else
                at = &(*at)->next;
        }
    for (at = &b->retired; *at;) {
        if ((*at)->refs) {
            at = &(*at)->next;
            continue;
        }
        APR_ARRAY_PUSH(old, backend *) = *at;
        *at = (*at)->next;
    }
    apr_thread_mutex_unlock(b->mutex);
    /* Closing connections takes time: not under the lock. */
    for (n = 0; n < old->nelts; n++)
        apr_pool_destroy(APR_ARRAY_IDX(old, n, backend *)->pool);
    apr_pool_destroy(p);
}

void mod_relay_backend_retire(mod_relay_backend *be)
{
    mod_relay_backends *b = be->all;
    backend **at = list_of(b, be->tunnel);

    apr_thread_mutex_lock(b->mutex);
    while (*at && *at != be)
        at = &(*at)->next;
    if (*at) {
        take_out(b, at);
        be->next = b->retired;
        b->retired = be;
    }
    apr_thread_mutex_unlock(b->mutex);
}

int mod_relay_backends_count(mod_relay_backends *b)
{
    int n;

    apr_thread_mutex_lock(b->mutex);
    n = b->count;
    apr_thread_mutex_unlock(b->mutex);
    return n;
}

static apr_status_t release(void *data)
{
    backend *be = data;

    apr_thread_mutex_lock(be->all->mutex);
    be->refs--;
    be->used = relay_clock();
    apr_thread_mutex_unlock(be->all->mutex);
    return APR_SUCCESS;
}

static void configure(proxy_worker_shared *s, const mod_relay_server *conf)
{
    s->timeout = conf->backend_timeout;
    s->timeout_set = 1;
    s->conn_timeout = conf->backend_connect_timeout;
    s->conn_timeout_set = 1;
    /* A failure says nothing of the next request: the device may be back. */
    s->retry = 0;
    s->retry_set = 1;
    /* No number of connections is kept open: each idle one ends after its time. */
    s->min = 0;
    s->smax = 0;
    s->ttl = conf->backend_idle;
}

/* A tunnel's services may be devices of their own. Services that speak HTTP/2 are not small. */
static apr_uint64_t device_key(const relay_route *route)
{
    const char *const parts[] = {route->tunnel, " ", route->origin};
    apr_uint64_t hash = 14695981039346656037u; /* FNV-1a */
    const char *p;
    int i;

    if (strcmp(route->scheme, "h2c") == 0)
        return 0;
    for (i = 0; i < 3; i++)
        for (p = parts[i]; *p; p++)
            hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    return hash ? hash : 1;
}

/* NULL when there is no memory or mod_proxy refuses. */
static backend *make_backend(mod_relay_backends *b, request_rec *r, const mod_relay_request *rr)
{
    const char *fault;
    apr_pool_t *p;
    backend *be;

    if (apr_pool_create(&p, b->pool) != APR_SUCCESS)
        return NULL;
    apr_pool_tag(p, KEY);
    be = apr_pcalloc(p, sizeof(*be));
    apr_pool_userdata_setn(be, KEY, NULL, p);
    be->server = rr->server;
    be->tunnel = apr_pstrdup(p, rr->route.tunnel);
    be->origin = apr_pstrdup(p, rr->route.origin);
    be->name = apr_pstrdup(p, rr->name);
    be->pool = p;
    be->all = b;
    be->idle = rr->server->backend_idle;
    be->device.key = device_key(&rr->route);
    mod_relay_origin_mark(rr, p);
    if ((fault = ap_proxy_define_worker(p, &be->worker, NULL, NULL, rr->route.origin, 0)) == NULL) {
        configure(be->worker->s, rr->server);
        apr_cpystrn(be->worker->s->upgrade, mod_relay_upgrade_of_worker(rr),
                    sizeof(be->worker->s->upgrade));
        if (ap_proxy_initialize_worker(be->worker, r->server, p) != APR_SUCCESS)
            fault = "its connection pool cannot be made";
    }
    if (fault) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "RLY130 tunnel %s: no worker for %s: %s",
                      rr->route.tunnel, rr->route.origin, fault);
        apr_pool_destroy(p);
        return NULL;
    }
    return be;
}

mod_relay_backend *mod_relay_backend_make_private(request_rec *r, const mod_relay_request *rr)
{
    return make_backend(rr->realm->backends, r, rr);
}

mod_relay_habits *mod_relay_backend_habits(mod_relay_backend *be)
{
    return &be->habits;
}

struct proxy_worker *mod_relay_backend_worker(const mod_relay_backend *be)
{
    return be->worker;
}

mod_relay_backend_tls *mod_relay_backend_tls_of(mod_relay_backend *be)
{
    return &be->tls;
}

mod_relay_backend_device_of *mod_relay_backend_device(mod_relay_backend *be)
{
    return &be->device;
}

/* mod_proxy makes a connection's pools below that of its worker (connection_constructor() in
 * proxy_util.c). */
mod_relay_backend *mod_relay_backend_of(const conn_rec *c)
{
    apr_pool_t *p = c->outgoing ? c->pool : NULL;
    void *be = NULL;

    for (; p && !be; p = apr_pool_parent_get(p))
        apr_pool_userdata_get(&be, KEY, p);
    return be;
}

void mod_relay_backend_destroy(mod_relay_backend *be)
{
    apr_pool_destroy(be->pool);
}

mod_relay_backend *mod_relay_backend_acquire(request_rec *r, const mod_relay_request *rr)
{
    mod_relay_backends *b = rr->realm->backends;
    backend *be;

    apr_thread_mutex_lock(b->mutex);
    for (be = *list_of(b, rr->route.tunnel); be && !mod_relay_backend_is_for(be, rr);)
        be = be->next;
    if (!be && (be = make_backend(b, r, rr)) != NULL)
        add(b, be);
    if (be) {
        be->refs++;
        be->doubted = 0;
        be->used = relay_clock();
    }
    apr_thread_mutex_unlock(b->mutex);
    if (be)
        apr_pool_cleanup_register(r->pool, be, release, apr_pool_cleanup_null);
    return be;
}
