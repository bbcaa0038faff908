/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <hiredis/async.h>
/* hiredis 0.14.1 ships its adapter with unused static functions in older compilers' eyes. */
#include <hiredis/adapters/libevent.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 250

typedef enum { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_READY } link_state;

typedef struct pending {
    struct pending *next;
    redis_link *link;
    redis_answer_fn *fn;
    uint64_t id;
    int64_t deadline_ms;
} pending;

struct redis_link {
    rlyd *d;
    const char *name;
    int report, reported_down;
    redis_ready_fn *ready;
    link_state state;
    redisAsyncContext *ac;
    struct evdns_base *dns;
    struct event *retry, *check;
    int64_t backoff_ms, connecting_until_ms, refused_gate;
    unsigned logins_left;
    pending *first, **last; /* Redis answers in order */
};

static void link_connect(redis_link *link);

static int64_t timeout_ms(const redis_link *link)
{
    return apr_time_as_msec(link->d->cfg->redis_timeout);
}

/** The connection is gone, or will not come up. */
static void link_failed(redis_link *link, const char *reason)
{
    redisAsyncContext *ac = link->ac;

    if (link->state == LINK_DOWN)
        return;
    link->state = LINK_DOWN;
    link->ac = NULL;
    if (link->report && !link->reported_down && !link->d->stopping) {
        relay_log(RELAY_LOG_WARNING, "RLY430 Redis at %s: %s; sessions go on, their known deadlines hold",
                  link->d->cfg->redis->shown, reason);
        link->reported_down = 1;
    }
    evtimer_del(link->check);
    timer_arm(link->retry, link->backoff_ms);
    link->backoff_ms = link->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : link->backoff_ms * 2;
    if (ac) {
        ac->data = NULL;
        redisAsyncFree(ac); /* answers what is outstanding with NULL */
    }
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    redis_link *link = ac->data;

    if (link && status != REDIS_OK) {
        link->ac = NULL; /* hiredis frees it */
        link_failed(link, ac->errstr);
    }
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    redis_link *link = ac->data;

    if (link) {
        link->ac = NULL;
        link_failed(link, status == REDIS_OK || !ac->errstr ? "the connection was closed" : ac->errstr);
    }
}

static void on_answer(redisAsyncContext *ac, void *reply, void *priv)
{
    pending *p = priv;
    redis_link *link = p->link;
    redisReply *r = reply;

    (void)ac;
    link->first = p->next;
    if (!link->first)
        link->last = &link->first;
    if (r && r->type == REDIS_REPLY_ERROR) {
        if (gate_open(&link->refused_gate, 60000)) {
            apr_pool_t *scratch;

            apr_pool_create(&scratch, link->d->pool);
            relay_log(RELAY_LOG_WARNING, "RLY431 %s",
                      (link->state == LINK_READY ? relay_redis_explain : relay_redis_explain_login)(
                          link->d->cfg->redis, r->str, scratch));
            apr_pool_destroy(scratch);
        }
        r = NULL;
    }
    if (p->fn)
        p->fn(link->d, r, p->id);
    free(p);
}

/** When we have waited long enough; 0: we wait for nothing. Redis answers in order: the first command is due first. */
static int64_t due_ms(const redis_link *link)
{
    if (link->state == LINK_DOWN)
        return 0;
    if (link->state != LINK_READY)
        return link->connecting_until_ms;
    return link->first ? link->first->deadline_ms : 0;
}

static void arm_check(redis_link *link)
{
    int64_t due = due_ms(link), left = due - now_ms();

    if (due)
        timer_arm(link->check, left < 0 ? 1 : left + 1);
}

static int submit(redis_link *link, int64_t extra_ms, redis_answer_fn *fn, uint64_t id, int argc, const char **argv)
{
    pending *p = must_alloc(sizeof *p);

    p->next = NULL;
    p->link = link;
    p->fn = fn;
    p->id = id;
    p->deadline_ms = now_ms() + timeout_ms(link) + extra_ms;
    if (redisAsyncCommandArgv(link->ac, on_answer, p, argc, argv, NULL) != REDIS_OK) {
        free(p);
        return -1;
    }
    *link->last = p;
    link->last = &p->next;
    if (link->first == p)
        arm_check(link);
    return 0;
}

static void check_deadlines(evutil_socket_t fd, short what, void *arg)
{
    redis_link *link = arg;
    int64_t due = due_ms(link);

    (void)fd;
    (void)what;
    if (due && now_ms() > due)
        link_failed(link, "no answer in time ([redis] timeout)");
    else
        arm_check(link);
}

static redis_link *link_of_answer(rlyd *d, uint64_t id)
{
    (void)d;
    return (redis_link *)(uintptr_t)id;
}

static void on_login(rlyd *d, redisReply *r, uint64_t id)
{
    redis_link *link = link_of_answer(d, id);

    if (link->state != LINK_CONNECTING)
        return;
    if (!r) {
        link_failed(link, "it refuses us, see the line before");
        return;
    }
    if (--link->logins_left)
        return;
    link->state = LINK_READY;
    link->backoff_ms = BACKOFF_MIN_MS;
    if (link->report && link->reported_down)
        relay_log(RELAY_LOG_NOTICE, "RLY432 Redis at %s is back", d->cfg->redis->shown);
    link->reported_down = 0;
    link->ready(d);
}

/** AUTH and SELECT where they are needed, then a PING, which fails while Redis is still loading. */
static void link_login(redis_link *link)
{
    const relay_redis_url *url = link->d->cfg->redis;
    uint64_t self = (uintptr_t)link;
    char db[16];
    const char *with_user[] = {"AUTH", url->user, url->password}, *plain[] = {"AUTH", url->password};
    const char *select[] = {"SELECT", db}, *ping[] = {"PING"};
    int rc = 0;

    link->logins_left = 1;
    if (url->password) {
        link->logins_left++;
        rc |= submit(link, 0, on_login, self, url->user ? 3 : 2, url->user ? with_user : plain);
    }
    if (url->db) {
        link->logins_left++;
        apr_snprintf(db, sizeof db, "%d", url->db);
        rc |= submit(link, 0, on_login, self, 2, select);
    }
    if (submit(link, 0, on_login, self, 1, ping) || rc)
        link_failed(link, "cannot send");
}

static void link_attach(redis_link *link, redisAsyncContext *ac)
{
    if (!ac || ac->err) {
        link->state = LINK_CONNECTING;
        link_failed(link, ac ? ac->errstr : "out of memory");
        if (ac)
            redisAsyncFree(ac);
        return;
    }
    ac->data = link;
    link->ac = ac;
    link->state = LINK_CONNECTING;
    evutil_make_socket_closeonexec(ac->c.fd);
    if (link->d->cfg->redis->tls && relay_redis_tls(&ac->c) != APR_SUCCESS) {
        link_failed(link, "TLS could not be started");
        return;
    }
    if (redisLibeventAttach(ac, link->d->base) != REDIS_OK) {
        link_failed(link, "cannot join the event loop");
        return;
    }
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    link_login(link);
}

static void on_resolved(int error, struct evutil_addrinfo *found, void *arg)
{
    redis_link *link = arg;
    char text[INET6_ADDRSTRLEN] = "";

    if (link->state == LINK_RESOLVING) {
        if (!error && found && found->ai_family == AF_INET)
            evutil_inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, text, sizeof text);
        else if (!error && found && found->ai_family == AF_INET6)
            evutil_inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr, text, sizeof text);
        if (*text)
            link_attach(link, redisAsyncConnect(text, link->d->cfg->redis->port));
        else
            link_failed(link, "the host name cannot be resolved");
    }
    if (found)
        evutil_freeaddrinfo(found);
}

static int is_address(const char *host)
{
    unsigned char room[16];

    return evutil_inet_pton(AF_INET, host, room) == 1 || evutil_inet_pton(AF_INET6, host, room) == 1;
}

/** hiredis itself would wait for a resolver: names are looked up in the loop. */
static void link_resolve(redis_link *link)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    if (!link->dns)
        link->dns = evdns_base_new(link->d->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    link->state = LINK_RESOLVING;
    if (link->dns)
        evdns_getaddrinfo(link->dns, link->d->cfg->redis->host, NULL, &hints, on_resolved, link);
    else
        link_failed(link, "the system has no resolver");
}

static void link_connect(redis_link *link)
{
    const relay_redis_url *url = link->d->cfg->redis;

    link->connecting_until_ms = now_ms() + timeout_ms(link);
    arm_check(link);
    if (url->unix_path)
        link_attach(link, redisAsyncConnectUnix(url->unix_path));
    else if (is_address(url->host))
        link_attach(link, redisAsyncConnect(url->host, url->port));
    else
        link_resolve(link);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    redis_link *link = arg;

    (void)fd;
    (void)what;
    if (link->state == LINK_DOWN)
        link_connect(link);
}

redis_link *redis_link_open(rlyd *d, const char *name, int report, redis_ready_fn *ready)
{
    redis_link *link = apr_pcalloc(d->pool, sizeof *link);

    link->d = d;
    link->name = name;
    link->report = report;
    link->ready = ready;
    link->last = &link->first;
    link->backoff_ms = BACKOFF_MIN_MS;
    link->retry = timer_new(d, on_retry, link);
    link->check = timer_new(d, check_deadlines, link);
    timer_arm(link->retry, 0);
    return link;
}

void redis_link_restart(redis_link *link)
{
    int report = link->report;

    link->backoff_ms = BACKOFF_MIN_MS;
    link->report = 0;
    link_failed(link, "connecting again");
    link->report = report;
    timer_arm(link->retry, 0);
}

int redis_link_is_ready(const redis_link *link)
{
    return link->state == LINK_READY;
}

int redis_send(redis_link *link, int64_t wait_ms, redis_answer_fn *fn, uint64_t id, int argc, const char *const *argv)
{
    int n = 0;

    while (n < argc && argv[n])
        n++;
    return link->state == LINK_READY ? submit(link, wait_ms, fn, id, n, (const char **)argv) : -1;
}
