/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis.h"
#include "loop.h"
#include "place.h"
#include "relay_redis_tls.h"
#include "reply.h"

#include <event2/util.h>
#include <hiredis/async.h>
/* hiredis 0.14.1 ships its adapter with unused static functions in older compilers' eyes. */
#include <hiredis/adapters/libevent.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 250
#define FINDING_EXTRA_MS 50 /* who searches in vain says why, at [redis] timeout */
#define ARRAY_MAX (1 << 20) /* no answer to a command of rlyd's has so many elements */
#define ODD_EVERY_MS 60000

typedef enum { LINK_DOWN, LINK_FINDING, LINK_CONNECTING, LINK_READY } link_state;

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
    place *place;
    struct event *retry, *check;
    int64_t backoff_ms, connecting_until_ms, refused_gate;
    unsigned logins_left;
    int lost_role;          /* it has refused in a way in which no primary does */
    int unasked;            /* it said something that answers nothing */
    pending *first, **last; /* Redis answers in order */
};

static int64_t timeout_ms(const redis_link *link)
{
    return apr_time_as_msec(link->d->cfg->redis_timeout);
}

/** Where the link leads. */
static const relay_redis_url *url_of(const redis_link *link)
{
    return place_url(link->place);
}

/** Gives the connection up: it is gone, or will not come up. */
static void link_failed(redis_link *link, const char *reason)
{
    redisAsyncContext *ac = link->ac;

    if (link->state == LINK_DOWN)
        return;
    link->state = LINK_DOWN;
    link->ac = NULL;
    if (link->report && !link->reported_down && !link->d->stopping) {
        relay_log(RELAY_LOG_WARNING,
                  "RLY430 Redis at %s: %s; sessions go on, their known deadlines hold",
                  url_of(link)->shown, reason);
        link->reported_down = 1;
    }
    place_forget(link->place);
    evtimer_del(link->check);
    timer_arm(link->retry, link->backoff_ms);
    link->backoff_ms =
        link->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : link->backoff_ms * 2;
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
        link_failed(link, link->unasked ? "it says what nobody has asked for: is it Redis?"
                          : status == REDIS_OK || !ac->errstr ? "the connection was closed"
                                                              : ac->errstr);
    }
}

/** Says whether it is worth asking Sentinel again. */
static int is_no_primary(const redis_link *link, const char *error)
{
    return url_of(link)->named &&
           (strncmp(error, "READONLY", 8) == 0 || strncmp(error, "MASTERDOWN", 10) == 0 ||
            strncmp(error, "LOADING", 7) == 0);
}

static void on_answer(redisAsyncContext *ac, void *reply, void *priv)
{
    pending *p = priv;
    redis_link *link = p->link;
    redisReply *r = reply;

    link->first = p->next;
    if (!link->first)
        link->last = &link->first;
    if (r && r->type == REDIS_REPLY_ERROR) {
        if (gate_open(&link->refused_gate, 60000)) {
            apr_pool_t *scratch;

            apr_pool_create(&scratch, link->d->pool);
            relay_log(RELAY_LOG_WARNING, "RLY431 %s",
                      (link->state == LINK_READY ? relay_redis_explain : relay_redis_explain_login)(
                          url_of(link), r->str, scratch));
            apr_pool_destroy(scratch);
        }
        link->lost_role |= is_no_primary(link, r->str);
        r = NULL;
    }
    if (p->fn)
        p->fn(link->d, r, p->id);
    free(p);
    if (link->lost_role && link->state == LINK_READY)
        link_failed(link, "it is not the primary any more");
}

/* ---- what is read
 *
 * hiredis ends the program by an assertion when something comes that nobody has asked for
 * (redisProcessCallbacks()). It also makes an array as large as the array's first line says. So our
 * own functions stand before those that make the objects of a reply. What they refuse breaks the
 * connection. */

#if HIREDIS_MAJOR >= 1
typedef size_t reply_count;
#else
typedef int reply_count;
#endif

static redisReplyObjectFunctions makers;

/** @return whether an object was asked for. One that is part of a reply was asked for with that */
static int is_asked_for(const redisReadTask *task)
{
    redis_link *link = task->privdata;

    if (task->parent || !link || link->first)
        return 1;
    link->unasked = 1;
    return 0;
}

static void *guarded_string(const redisReadTask *task, char *text, size_t len)
{
    return is_asked_for(task) ? makers.createString(task, text, len) : NULL;
}

static void *guarded_array(const redisReadTask *task, reply_count n)
{
    return n <= ARRAY_MAX && is_asked_for(task) ? makers.createArray(task, n) : NULL;
}

static void *guarded_integer(const redisReadTask *task, long long n)
{
    return is_asked_for(task) ? makers.createInteger(task, n) : NULL;
}

static void *guarded_nil(const redisReadTask *task)
{
    return is_asked_for(task) ? makers.createNil(task) : NULL;
}

#if HIREDIS_MAJOR >= 1
static void *guarded_double(const redisReadTask *task, double n, char *text, size_t len)
{
    return is_asked_for(task) ? makers.createDouble(task, n, text, len) : NULL;
}

static void *guarded_bool(const redisReadTask *task, int value)
{
    return is_asked_for(task) ? makers.createBool(task, value) : NULL;
}
#endif

static void guard_reader(redis_link *link, redisReader *reader)
{
    static redisReplyObjectFunctions guarded;

    if (!guarded.freeObject) {
        makers = guarded = *reader->fn;
        guarded.createString = guarded_string;
        guarded.createArray = guarded_array;
        guarded.createInteger = guarded_integer;
        guarded.createNil = guarded_nil;
#if HIREDIS_MAJOR >= 1
        guarded.createDouble = guarded_double;
        guarded.createBool = guarded_bool;
#endif
    }
    link->unasked = 0;
    reader->fn = &guarded;
    reader->privdata = link;
}

void redis_odd(redis_link *link, int64_t *gate, const char *command)
{
    if (gate_open(gate, ODD_EVERY_MS))
        relay_log(RELAY_LOG_ERR,
                  "RLY458 Redis at %s answers %s with something that is no answer to it: is it "
                  "Redis? Nothing is concluded from that",
                  url_of(link)->shown, command);
}

/* ---- commands */

/** When we have waited long enough; 0: we wait for nothing. Redis answers in order, so the first
 * command is due first. */
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

static int submit(redis_link *link, int64_t extra_ms, redis_answer_fn *fn, uint64_t id, int argc,
                  const char **argv)
{
    pending *p = must_alloc(sizeof(*p));

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

    if (due && now_ms() > due)
        link_failed(link, "no answer in time ([redis] timeout)");
    else
        arm_check(link);
}

static redis_link *link_of_answer(rlyd *d, uint64_t id)
{
    return (redis_link *)(uintptr_t)id;
}

/** Takes one answer of the login. @param wrong why it is not the one that was expected; NULL: it is
 */
static void take_login_answer(rlyd *d, const redisReply *r, uint64_t id, const char *wrong)
{
    redis_link *link = link_of_answer(d, id);

    if (link->state != LINK_CONNECTING)
        return;
    if (!r) {
        /* Of a handshake that fails later than redisInitiateSSL() hiredis says errno's text. */
        link_failed(link, !link->ac || !link->ac->err ? "it refuses us, see the line before"
                          : url_of(link)->tls         ? "TLS with it failed (`rly list' says why)"
                                                      : link->ac->errstr);
        return;
    }
    if (wrong) {
        link_failed(link, wrong);
        return;
    }
    if (--link->logins_left)
        return;
    link->state = LINK_READY;
    link->backoff_ms = BACKOFF_MIN_MS;
    if (link->report && link->reported_down)
        relay_log(RELAY_LOG_NOTICE, "RLY432 Redis at %s is back", url_of(link)->shown);
    link->reported_down = 0;
    link->ready(d);
}

#define NO_REDIS "its first answers are none: is it Redis?"

static void on_login(rlyd *d, redisReply *r, uint64_t id)
{
    take_login_answer(d, r, id, reply_is_status(r, "OK") ? NULL : NO_REDIS);
}

static void on_pong(rlyd *d, redisReply *r, uint64_t id)
{
    take_login_answer(d, r, id, reply_is_status(r, "PONG") ? NULL : NO_REDIS);
}

static void on_role(rlyd *d, redisReply *r, uint64_t id)
{
    take_login_answer(d, r, id,
                      relay_redis_role_read(r) == RELAY_ROLE_PRIMARY
                          ? NULL
                          : "it is not the primary, though Sentinel says so");
}

/** Sends AUTH and SELECT where they are needed, ROLE to a server that Sentinel has named, then a
 * PING, which fails while Redis is still loading. */
static void link_login(redis_link *link)
{
    const relay_redis_url *url = url_of(link);
    uint64_t self = (uintptr_t)link;
    char db[16];
    const char *with_user[] = {"AUTH", url->user, url->password},
               *plain[] = {"AUTH", url->password};
    const char *select[] = {"SELECT", db}, *ping[] = {"PING"}, *role[] = {"ROLE"};
    int rc = 0;

    link->lost_role = 0;
    link->logins_left = 1;
    if (url->password) {
        link->logins_left++;
        rc |= submit(link, 0, on_login, self, url->user ? 3 : 2, url->user ? with_user : plain);
    }
    if (url->db) {
        link->logins_left++;
        apr_snprintf(db, sizeof(db), "%d", url->db);
        rc |= submit(link, 0, on_login, self, 2, select);
    }
    if (url->named) {
        link->logins_left++;
        rc |= submit(link, 0, on_role, self, 1, role);
    }
    if (submit(link, 0, on_pong, self, 1, ping) || rc)
        link_failed(link, "cannot send");
}

static void link_attach(redis_link *link, redisAsyncContext *ac)
{
    const relay_redis_url *url = url_of(link);

    if (!ac || ac->err) {
        link->state = LINK_CONNECTING;
        link_failed(link, ac ? ac->errstr : "out of memory");
        if (ac)
            redisAsyncFree(ac);
        return;
    }
    ac->data = link;
    link->ac = ac;
    guard_reader(link, ac->c.reader);
    link->state = LINK_CONNECTING;
    evutil_make_socket_closeonexec(ac->c.fd);
    if (url->tls && relay_redis_tls(&ac->c, url) != APR_SUCCESS) {
        link_failed(link, ac->c.errstr);
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

static void on_place(void *arg, const char *address, const char *reason)
{
    redis_link *link = arg;
    const relay_redis_url *url = url_of(link);

    if (link->state != LINK_FINDING)
        return;
    if (reason) {
        link_failed(link, reason);
        return;
    }
    link->connecting_until_ms = now_ms() + timeout_ms(link);
    link_attach(link, url->unix_path ? redisAsyncConnectUnix(url->unix_path)
                                     : redisAsyncConnect(address, url->port));
}

static void link_connect(redis_link *link)
{
    link->state = LINK_FINDING;
    link->connecting_until_ms = now_ms() + timeout_ms(link) + FINDING_EXTRA_MS;
    arm_check(link);
    place_find(link->place);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    redis_link *link = arg;

    if (link->state == LINK_DOWN)
        link_connect(link);
}

redis_link *redis_link_open(rlyd *d, const char *name, int report, redis_ready_fn *ready)
{
    redis_link *link = apr_pcalloc(d->pool, sizeof(*link));

    link->d = d;
    link->name = name;
    link->report = report;
    link->ready = ready;
    link->last = &link->first;
    link->backoff_ms = BACKOFF_MIN_MS;
    link->place = place_new(d, on_place, link);
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

int redis_send(redis_link *link, int64_t wait_ms, redis_answer_fn *fn, uint64_t id, int argc,
               const char *const *argv)
{
    int n = 0;

    while (n < argc && argv[n])
        n++;
    return link->state == LINK_READY ? submit(link, wait_ms, fn, id, n, (const char **)argv) : -1;
}
