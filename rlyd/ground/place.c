/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "place.h"
#include "loop.h"
#include "relay_sentinel.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/util.h>

struct place {
    rlyd *d;
    place_found_fn *fn;
    void *arg;
    apr_pool_t *pool;             /* of one search and of found; NULL where there was none */
    const relay_redis_url *found; /* where Sentinel has said; NULL: relay.conf's own */
    relay_sentinel_search *search;
    struct event *readable, *due;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request;
};

const relay_redis_url *place_url(const place *p)
{
    return p->found ? p->found : p->d->cfg->redis;
}

/* ---- the address of a name */

static void on_resolved(int error, struct evutil_addrinfo *found, void *arg)
{
    place *p = arg;
    char text[INET6_ADDRSTRLEN] = "";

    if (error == EVUTIL_EAI_CANCEL)
        return;
    p->request = NULL;
    if (!error && found && found->ai_family == AF_INET)
        evutil_inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, text,
                         sizeof(text));
    else if (!error && found && found->ai_family == AF_INET6)
        evutil_inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr,
                         text, sizeof(text));
    if (found)
        evutil_freeaddrinfo(found);
    p->fn(p->arg, text, *text ? NULL : "the host name cannot be resolved");
}

static void resolve(place *p)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const relay_redis_url *url = place_url(p);

    if (url->unix_path || relay_redis_is_address(url->host)) {
        p->fn(p->arg, url->host, NULL);
        return;
    }
    if (!p->dns)
        p->dns = evdns_base_new(p->d->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                                EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (p->dns)
        p->request = evdns_getaddrinfo(p->dns, url->host, NULL, &hints, on_resolved, p);
    else
        p->fn(p->arg, NULL, "the system has no resolver");
}

/* ---- Sentinel's word */

static void stop_search(place *p)
{
    if (p->readable)
        event_free(p->readable);
    timer_free(p->due);
    if (p->search)
        relay_sentinel_end(p->search);
    p->readable = p->due = NULL;
    p->search = NULL;
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    place *p = arg;
    const char *why = NULL;
    apr_status_t rv = relay_sentinel_step(p->search, &p->found, p->pool, &why);

    if (rv == APR_EAGAIN) {
        timer_arm(p->due, apr_time_as_msec(relay_sentinel_wait(p->search)) + 1);
        return;
    }
    stop_search(p);
    if (rv == APR_SUCCESS)
        resolve(p);
    else
        p->fn(p->arg, NULL, why);
}

static void ask_sentinels(place *p)
{
    const char *why = NULL;

    if (relay_sentinel_begin(&p->search, p->d->cfg->redis, RELAY_SENTINEL_ANY,
                             p->d->cfg->redis_timeout, p->pool, &why) != APR_SUCCESS) {
        p->fn(p->arg, NULL, why);
        return;
    }
    p->due = timer_new(p->d, on_step, p);
    p->readable =
        event_new(p->d->base, relay_sentinel_fd(p->search), EV_READ | EV_PERSIST, on_step, p);
    if (p->readable)
        event_add(p->readable, NULL);
    timer_arm(p->due, 0);
}

/* ---- */

place *place_new(rlyd *d, place_found_fn *fn, void *arg)
{
    place *p = apr_pcalloc(d->pool, sizeof(*p));

    p->d = d;
    p->fn = fn;
    p->arg = arg;
    return p;
}

void place_forget(place *p)
{
    stop_search(p);
    if (p->request)
        evdns_getaddrinfo_cancel(p->request);
    p->request = NULL;
}

void place_find(place *p)
{
    place_forget(p);
    p->found = NULL;
    if (p->pool)
        apr_pool_destroy(p->pool);
    p->pool = NULL;
    if (!p->d->cfg->redis->primary) {
        resolve(p);
        return;
    }
    apr_pool_create(&p->pool, p->d->pool);
    ask_sentinels(p);
}
