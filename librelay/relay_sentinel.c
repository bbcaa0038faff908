/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_sentinel.h"
#include "relay_clock.h"
#include "relay_redis_tls.h"

#include <apr_lib.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ANSWER_MAX 16 /* elements; an answer has two */
#define HOST_LEN_MAX 255
/* While TLS shakes hands the descriptor does not say which way it has to go on. */
#define TLS_EVERY apr_time_from_msec(5)

typedef struct asking {
    redisContext *c;   /* NULL once it has answered or failed */
    int logins, await; /* AUTH was sent so often; its answer is still to come */
    const char *host;  /* the answer; NULL: none */
    int port;
} asking;

struct relay_sentinel_search {
    const relay_redis_url *url;
    relay_sentinel_need need;
    apr_pool_t *p;
    int epoll;
    apr_time_t patient_until, until;
    const char *trouble; /* the last that there was; NULL: none */
    asking asks[RELAY_SENTINELS_MAX];
};

static void hang_up(asking *a)
{
    if (a->c)
        redisFree(a->c);
    a->c = NULL;
}

static void failed(relay_sentinel_search *s, asking *a, const char *reason)
{
    const relay_redis_sentinel *who = &s->url->sentinels[a - s->asks];

    s->trouble = apr_psprintf(s->p, "%s:%d: %s", who->host, who->port, reason);
    hang_up(a);
}

void relay_sentinel_end(relay_sentinel_search *s)
{
    int i;

    for (i = 0; i < s->url->nsentinels; i++)
        hang_up(&s->asks[i]);
    if (s->epoll >= 0)
        close(s->epoll);
    s->epoll = -1;
}

static apr_status_t on_destroy(void *data)
{
    relay_sentinel_end(data);
    return APR_SUCCESS;
}

/* ---- what is read: hiredis makes an array as large as its first line says */

#if HIREDIS_MAJOR >= 1
typedef size_t reply_count;
#else
typedef int reply_count;
#endif

static void *small_array(const redisReadTask *task, reply_count n)
{
    const redisReplyObjectFunctions *makers = task->privdata;

    return n <= ANSWER_MAX ? makers->createArray(task, n) : NULL;
}

static void guard_reader(redisContext *c, apr_pool_t *p)
{
    redisReplyObjectFunctions *guarded = apr_pmemdup(p, c->reader->fn, sizeof(*guarded));

    guarded->createArray = small_array;
    c->reader->privdata = c->reader->fn;
    c->reader->fn = guarded;
}

/* ---- one sentinel */

static int listen_for(relay_sentinel_search *s, int op, const asking *a, uint32_t events)
{
    struct epoll_event e = {.events = events};

    return epoll_ctl(s->epoll, op, a->c->fd, &e) == 0;
}

static void ask(relay_sentinel_search *s, asking *a)
{
    redisAppendCommand(a->c, "SENTINEL get-master-addr-by-name %s", s->url->primary);
}

static void start(relay_sentinel_search *s, asking *a)
{
    const relay_redis_sentinel *who = &s->url->sentinels[a - s->asks];

    a->c = redisConnectNonBlock(who->host, who->port);
    if (!a->c || a->c->err) {
        failed(s, a, a->c ? a->c->errstr : "out of memory");
        return;
    }
    fcntl(a->c->fd, F_SETFD, FD_CLOEXEC);
    guard_reader(a->c, s->p);
    if (s->url->tls && relay_redis_tls(a->c, relay_redis_url_at(s->url, who->host, who->port,
                                                                s->p)) != APR_SUCCESS) {
        failed(s, a, a->c->errstr);
        return;
    }
    ask(s, a);
    if (!listen_for(s, EPOLL_CTL_ADD, a, EPOLLOUT))
        failed(s, a, "the kernel does not watch its socket");
}

static void log_in(relay_sentinel_search *s, asking *a)
{
    const relay_redis_url *u = s->url;
    const char *argv[] = {"AUTH", u->user ? u->user : u->password, u->password};

    a->logins = a->await = 1;
    redisAppendCommandArgv(a->c, u->user ? 3 : 2, argv, NULL);
    ask(s, a);
}

static int wants_login(const char *error)
{
    return strncmp(error, "NOAUTH", 6) == 0 || strncmp(error, "NOPERM", 6) == 0;
}

/* A string that is one in C, too; else "". */
static const char *text_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING && strlen(r->str) == (size_t)r->len ? r->str : "";
}

/* Takes the answer where it is an address and a port. */
static int is_place(asking *a, const redisReply *r, apr_pool_t *p)
{
    const char *host, *port;
    int n;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2)
        return 0;
    host = text_of(r->element[0]);
    port = text_of(r->element[1]);
    n = strlen(port) <= 5 && strspn(port, "0123456789") == strlen(port) ? atoi(port) : 0;
    if (n < 1 || n > 65535 || !*host || strlen(host) > HOST_LEN_MAX ||
        host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-")])
        return 0;
    a->host = apr_pstrdup(p, host);
    a->port = n;
    return 1;
}

static void take(relay_sentinel_search *s, asking *a, const redisReply *r)
{
    if (r->type == REDIS_REPLY_ERROR) {
        if (!a->logins && s->url->password && wants_login(r->str))
            log_in(s, a);
        else /* what else an error says may be the password that it was sent */
            failed(s, a,
                   wants_login(r->str) || a->await
                       ? "it wants another login, or none of ours may ask it"
                       : "it does not answer that: is it a sentinel?");
    }
    else if (a->await) {
        a->await = 0;
    }
    else if (is_place(a, r, s->p)) {
        hang_up(a);
    }
    else {
        failed(s, a,
               r->type == REDIS_REPLY_NIL
                   ? apr_psprintf(s->p, "it knows no primary of the name %s", s->url->primary)
                   : "its answer is none: is it a sentinel?");
    }
}

/* Of a handshake that fails later than redisInitiateSSL() hiredis says errno's text. */
static void broke(relay_sentinel_search *s, asking *a)
{
    failed(s, a,
           s->url->tls ? apr_psprintf(s->p, "TLS or the connection failed: %s", a->c->errstr)
                       : a->c->errstr);
}

static void go_on(relay_sentinel_search *s, asking *a)
{
    void *reply = NULL;
    int flushed = 0;

    if (redisBufferWrite(a->c, &flushed) != REDIS_OK) {
        broke(s, a);
        return;
    }
    if (!flushed && !s->url->tls)
        return;
    listen_for(s, EPOLL_CTL_MOD, a, EPOLLIN);
    if (redisBufferRead(a->c) != REDIS_OK) {
        broke(s, a);
        return;
    }
    while (a->c) {
        if (redisReaderGetReply(a->c->reader, &reply) != REDIS_OK) {
            failed(s, a, "its answer is none: is it a sentinel?");
            return;
        }
        if (!reply)
            return;
        take(s, a, reply);
        freeReplyObject(reply);
        if (a->c && a->await)
            listen_for(s, EPOLL_CTL_MOD, a, EPOLLOUT);
    }
}

/* ---- all of them */

apr_status_t relay_sentinel_begin(relay_sentinel_search **out, const relay_redis_url *url,
                                  relay_sentinel_need need, apr_interval_time_t timeout,
                                  apr_pool_t *p, const char **why)
{
    relay_sentinel_search *s = apr_pcalloc(p, sizeof(*s));
    int i;

    s->url = url;
    s->need = need;
    s->p = p;
    s->until = relay_clock() + timeout;
    s->patient_until = relay_clock() + timeout / 4;
    if ((s->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) {
        apr_status_t rv = errno;

        RELAY_WHY(why, p, "cannot ask Sentinel: the kernel gives no epoll descriptor (%d)", rv);
        return rv;
    }
    apr_pool_cleanup_register(p, s, on_destroy, apr_pool_cleanup_null);
    for (i = 0; i < url->nsentinels; i++)
        start(s, &s->asks[i]);
    *out = s;
    return APR_SUCCESS;
}

int relay_sentinel_fd(const relay_sentinel_search *s)
{
    return s->epoll;
}

/* @return how many have not answered yet */
static int count_open(const relay_sentinel_search *s)
{
    int i, n = 0;

    for (i = 0; i < s->url->nsentinels; i++)
        n += s->asks[i].c != NULL;
    return n;
}

/* The answer that most have given. @return how many; 0: there is none */
static int count_votes(const asking **best, const relay_sentinel_search *s)
{
    int i, j, most = 0;

    for (i = 0; i < s->url->nsentinels; i++) {
        const asking *a = &s->asks[i];
        int votes = 0;

        for (j = i; a->host && j < s->url->nsentinels; j++)
            votes += s->asks[j].host && s->asks[j].port == a->port &&
                     strcmp(s->asks[j].host, a->host) == 0;
        if (votes > most) {
            most = votes;
            *best = a;
        }
    }
    return most;
}

apr_interval_time_t relay_sentinel_wait(const relay_sentinel_search *s)
{
    const asking *best;
    apr_time_t t = relay_clock(), due = s->until;

    if (!count_open(s))
        return 0;
    if (s->need == RELAY_SENTINEL_ANY && count_votes(&best, s) && s->patient_until < due)
        due = s->patient_until;
    if (s->url->tls && due > t + TLS_EVERY)
        due = t + TLS_EVERY;
    return due > t ? due - t : 0;
}

apr_status_t relay_sentinel_step(relay_sentinel_search *s, const relay_redis_url **at,
                                 apr_pool_t *p, const char **why)
{
    const asking *best = NULL;
    int i, votes, open;
    apr_time_t t;

    for (i = 0; i < s->url->nsentinels; i++)
        if (s->asks[i].c)
            go_on(s, &s->asks[i]);
    t = relay_clock();
    votes = count_votes(&best, s);
    open = count_open(s);
    if (best && (votes * 2 > s->url->nsentinels ||
                 (s->need == RELAY_SENTINEL_ANY && (!open || t >= s->patient_until)))) {
        *at = relay_redis_url_at(s->url, best->host, best->port, p);
        relay_sentinel_end(s);
        return APR_SUCCESS;
    }
    if (open && t < s->until)
        return APR_EAGAIN;
    RELAY_WHY(why, p, "%s of the sentinels at %s name%s the primary: %s",
              votes ? "fewer than half" : "none", s->url->shown, votes ? "" : "s",
              s->trouble ? s->trouble : "they do not answer in time ([redis] timeout)");
    relay_sentinel_end(s);
    return RELAY_EUNREACHABLE;
}

static apr_status_t wait_for_answer(relay_sentinel_search *s, const relay_redis_url **at,
                                    apr_pool_t *p, const char **why)
{
    apr_status_t rv;

    while ((rv = relay_sentinel_step(s, at, p, why)) == APR_EAGAIN) {
        struct pollfd fd = {relay_sentinel_fd(s), POLLIN, 0};

        poll(&fd, 1, (int)apr_time_as_msec(relay_sentinel_wait(s)) + 1);
    }
    return rv;
}

apr_status_t relay_sentinel_ask(const relay_redis_url **at, const relay_redis_url *url,
                                relay_sentinel_need need, apr_interval_time_t timeout,
                                apr_pool_t *p, const char **why)
{
    relay_sentinel_search *s = NULL;
    apr_pool_t *scratch;
    const char *reason = "";
    apr_status_t rv;

    if ((rv = apr_pool_create(&scratch, p)) != APR_SUCCESS)
        return rv;
    if (relay_sentinel_begin(&s, url, need, timeout, scratch, &reason) != APR_SUCCESS || !s)
        rv = RELAY_EUNREACHABLE;
    else
        rv = wait_for_answer(s, at, p, &reason);
    if (rv != APR_SUCCESS)
        RELAY_WHY(why, p, "%s", reason);
    apr_pool_destroy(scratch);
    return rv;
}
