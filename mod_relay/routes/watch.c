/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Redis reports each written or expired key under `route:` (CLIENT TRACKING … BCAST). With RESP2
 * that takes two connections: one subscribes to the reports, and the other holds the tracking. Both
 * are pinged, since a link that has silently died must not pass for a quiet one.
 */

#include "watch.h"
#include "changes.h"

#include <apr_atomic.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHANNEL "__redis__:invalidate"
#define PING_EVERY apr_time_from_msec(500)
#define TICK_EVERY apr_time_from_sec(1)
#define RETRY_MIN apr_time_from_msec(50)
#define RETRY_MAX apr_time_from_sec(1)
#define UNTRACKED_RETRY apr_time_from_sec(5)
/* How often the replica is tried again that should be followed (read-url). */
#define REPLICA_RETRY apr_time_from_sec(2)

struct mod_relay_watch {
    const relay_config *relay;
    mod_relay_cache *cache;
    mod_relay_watch_calls calls;
    server_rec *server;
    mod_relay_changes changes; /* the receiver of Redis's reports */
    apr_thread_t *thread;
    int wake; /* eventfd: written to once, to stop */
    volatile apr_uint32_t stopping;
    /* the thread's own: */
    apr_pool_t *pool;          /* cleared for each attempt to connect */
    const relay_redis_url *at; /* where both connections lead */
    redisContext *sub, *tracker;
    apr_time_t heard; /* when Redis last said something */
    apr_time_t pinged, ticked, tried;
    char trouble[200]; /* the one that was logged last, "" when all is well */
};

static int is_stopping(mod_relay_watch *w)
{
    return apr_atomic_read32(&w->stopping) != 0;
}

static void tick_when_due(mod_relay_watch *w)
{
    apr_time_t now = relay_clock();

    if (now - w->ticked >= TICK_EVERY) {
        w->ticked = now;
        w->calls.tick(w->calls.baton);
    }
}

/* Sleeps, but not over a stop or a tick. */
static void pause_for(mod_relay_watch *w, apr_interval_time_t span)
{
    apr_time_t until = relay_clock() + span;

    while (!is_stopping(w) && relay_clock() < until) {
        struct pollfd fd = {w->wake, POLLIN, 0};
        apr_interval_time_t left = until - relay_clock();

        poll(&fd, 1, (int)(apr_time_as_msec(left < TICK_EVERY ? left : TICK_EVERY)) + 1);
        tick_when_due(w);
    }
}

static void disconnect(mod_relay_watch *w)
{
    if (w->sub)
        redisFree(w->sub);
    if (w->tracker)
        redisFree(w->tracker);
    w->sub = w->tracker = NULL;
}

/* Is it an error by which Redis refuses everything, and not just one command? */
static int is_general(const char *error)
{
    static const char *const codes[] = {"NOAUTH", "LOADING", "MASTERDOWN", "BUSY"};
    unsigned i;

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strncmp(error, codes[i], strlen(codes[i])) == 0)
            return 1;
    return 0;
}

/*
 * While its disk is full, Redis refuses every write, and PING with them (processCommand()), as a
 * sign for replicas and monitors. It is alive all the same: it answers what we need, and reports.
 */
static int is_alive(const char *command, const char *error)
{
    return strcmp(command, "PING") == 0 && strncmp(error, "MISCONF", strlen("MISCONF")) == 0;
}

/* One command. @param number out: an integer answer, or NULL. @return RELAY_EREFUSED: Redis is
 * there, but refuses this */
static apr_status_t command(redisContext *c, const relay_redis_url *url, int argc,
                            const char **argv, apr_int64_t *number, apr_pool_t *p, const char **why)
{
    redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
    apr_status_t rv = APR_SUCCESS;

    if (!reply) {
        *why = apr_psprintf(p, "Redis at %s did not answer: %s", url->shown, c->errstr);
        return RELAY_EUNREACHABLE;
    }
    if (reply->type == REDIS_REPLY_ERROR && !is_alive(argv[0], reply->str)) {
        *why = relay_redis_explain(url, reply->str, p);
        rv = is_general(reply->str) ? RELAY_EUNREACHABLE : RELAY_EREFUSED;
    }
    else if (number) {
        *number = reply->integer;
    }
    freeReplyObject(reply);
    return rv;
}

/* @return RELAY_EREFUSED: Redis is there, but does not let us track */
static apr_status_t connect_both(mod_relay_watch *w, const relay_redis_url *at, const char **why)
{
    apr_interval_time_t timeout = w->relay->redis_timeout;
    const char *client_id[] = {"CLIENT", "ID"}, *alive[] = {"PING"},
               *subscribe[] = {"SUBSCRIBE", CHANNEL};
    const char *track[] = {"CLIENT", "TRACKING", "ON", "REDIRECT", NULL, "BCAST", "PREFIX", NULL};
    apr_int64_t id = 0;
    apr_status_t rv;

    w->at = at;
    if ((rv = relay_redis_connect(&w->sub, at, timeout, w->pool, why)) != APR_SUCCESS ||
        (rv = relay_redis_connect(&w->tracker, at, timeout, w->pool, why)) != APR_SUCCESS)
        return rv;
    /* PING fails while Redis is still loading its data and has no routes to tell yet. */
    if ((rv = command(w->tracker, at, 1, alive, NULL, w->pool, why)) != APR_SUCCESS ||
        (rv = command(w->sub, at, 2, client_id, &id, w->pool, why)) != APR_SUCCESS ||
        (rv = command(w->sub, at, 2, subscribe, NULL, w->pool, why)) != APR_SUCCESS)
        return rv;
    track[4] = apr_psprintf(w->pool, "%" APR_INT64_T_FMT, id);
    track[7] = w->changes.prefix;
    return command(w->tracker, at, 8, track, NULL, w->pool, why);
}

/* ---- of several servers, the one to follow */

static int is_choice(const mod_relay_watch *w)
{
    return w->relay->redis->primary || w->relay->redis_read;
}

/* Whether the server is what it is followed for: the primary that Sentinel has named, or else a
 * replica in sync, which may have become the primary. */
static int is_fit(const relay_redis_url *at, redisContext *c)
{
    redisReply *reply = redisCommand(c, "ROLE");
    relay_redis_role role = relay_redis_role_read(reply);

    if (reply)
        freeReplyObject(reply);
    return role == RELAY_ROLE_PRIMARY || (role == RELAY_ROLE_REPLICA && !at->named);
}

/* Connects to the replica where it is in sync, else to the primary. @return as connect_both() */
static apr_status_t connect_any(mod_relay_watch *w, const char **why)
{
    const relay_config *cfg = w->relay;
    const relay_redis_url *at;
    apr_status_t rv;

    if (cfg->redis_read) {
        if (connect_both(w, cfg->redis_read, why) == APR_SUCCESS && is_fit(w->at, w->tracker))
            return APR_SUCCESS;
        disconnect(w);
    }
    rv = relay_redis_find(&at, cfg->redis, cfg->redis_timeout, w->pool, why);
    return rv == APR_SUCCESS ? connect_both(w, at, why) : rv;
}

/* Whether the replica that should be followed is in sync again. */
static int replica_is_back(mod_relay_watch *w)
{
    const relay_config *cfg = w->relay;
    apr_time_t now = relay_clock();
    redisContext *c = NULL;
    int back;

    if (!cfg->redis_read || w->at == cfg->redis_read || now - w->tried < REPLICA_RETRY)
        return 0;
    w->tried = now;
    if (relay_redis_connect(&c, cfg->redis_read, cfg->redis_timeout / 2, w->pool, NULL) !=
        APR_SUCCESS)
        return 0;
    back = is_fit(cfg->redis_read, c);
    redisFree(c);
    return back;
}

static void set_link(mod_relay_watch *w, mod_relay_link link)
{
    mod_relay_cache_link_set(w->cache, link, w->heard);
}

static void one_changed(void *baton, const char *name)
{
    mod_relay_watch *w = baton;

    mod_relay_cache_drop(w->cache, name);
    w->calls.changed(w->calls.baton, name);
}

static void all_changed(void *baton)
{
    mod_relay_watch *w = baton;

    mod_relay_cache_flush(w->cache);
    w->calls.changed(w->calls.baton, NULL);
}

/* Takes in what has arrived. @return 0 when the connection is dead */
static int receive(mod_relay_watch *w)
{
    if (redisBufferRead(w->sub) != REDIS_OK)
        return 0;
    w->heard = relay_clock();
    return mod_relay_changes_read(w->sub->reader, &w->changes);
}

/* Asks the tracking connection for a sign of life. */
static int serves(mod_relay_watch *w)
{
    const char *ping[] = {"PING"}, *why;

    return w->at->named || w->at == w->relay->redis_read
               ? is_fit(w->at, w->tracker)
               : command(w->tracker, w->at, 1, ping, NULL, w->pool, &why) == APR_SUCCESS;
}

/* @return 0 when one of the connections is dead or has not answered in time */
static int ping(mod_relay_watch *w)
{
    apr_time_t now = relay_clock();
    int flushed = 0;

    if (now - w->pinged < PING_EVERY)
        return 1;
    if (w->heard < w->pinged) /* the last one has not come back yet */
        return now - w->pinged < w->relay->redis_timeout;
    w->pinged = now;
    if (redisAppendCommand(w->sub, "PING") != REDIS_OK)
        return 0;
    while (!flushed)
        if (redisBufferWrite(w->sub, &flushed) != REDIS_OK)
            return 0;
    return serves(w);
}

/* Follows the reports until the link breaks, another server is to be followed, or the thread is to
 * stop. @return whether it was another server */
static int follow(mod_relay_watch *w)
{
    w->heard = w->pinged = w->tried = relay_clock();
    while (!is_stopping(w)) {
        struct pollfd fds[] = {{w->sub->fd, POLLIN, 0}, {w->wake, POLLIN, 0}};

        if (poll(fds, 2, (int)apr_time_as_msec(PING_EVERY / 2)) < 0 && errno != EINTR)
            return 0;
        if (fds[0].revents && !receive(w))
            return 0;
        if (!ping(w))
            return 0;
        tick_when_due(w);
        if (replica_is_back(w))
            return 1;
    }
    return 0;
}

/* Logs each reason once: after the link broke Redis may refuse for a reason that can be mended. */
static void complain(mod_relay_watch *w, apr_status_t rv, const char *why)
{
    if (strncmp(why, w->trouble, sizeof(w->trouble) - 1) == 0)
        return;
    apr_cpystrn(w->trouble, why, sizeof(w->trouble));
    if (rv == RELAY_EREFUSED)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, w->server,
                     "RLY110 routes cannot be cached, each request asks Redis: it refuses to "
                     "report changes: %s",
                     why);
    else
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, w->server,
                     "RLY111 no link to Redis: known routes go on working for RelayStaleMax, "
                     "others get 503: %s",
                     why);
}

/* Both connections are there: tells all, and follows until they are not. @return whether another
 * server is to be followed */
static int come_up(mod_relay_watch *w)
{
    int moves;

    /* The order counts: what was read before the flush is not kept, and after it this server is
     * read. */
    if (is_choice(w))
        w->calls.follows(w->calls.baton, w->at);
    all_changed(w); /* nobody told us of changes meanwhile */
    set_link(w, MOD_RELAY_LINK_UP);
    w->calls.answers(w->calls.baton);
    if (*w->trouble)
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, w->server, "RLY112 the link to Redis is back");
    w->trouble[0] = '\0';
    moves = follow(w);
    set_link(w, MOD_RELAY_LINK_DOWN);
    if (is_choice(w))
        w->calls.follows(w->calls.baton, NULL);
    return moves;
}

static void *APR_THREAD_FUNC watch(apr_thread_t *thread, void *data)
{
    mod_relay_watch *w = data;
    apr_interval_time_t retry = RETRY_MIN;
    sigset_t all;

    /* httpd's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!is_stopping(w)) {
        const char *why = "?";
        apr_status_t rv;
        int moves = 0;

        apr_pool_clear(w->pool);
        rv = connect_any(w, &why);
        if (rv == APR_SUCCESS) {
            moves = come_up(w);
            retry = RETRY_MIN;
            why = "the connection broke or fell silent";
            rv = RELAY_EUNREACHABLE;
        }
        else {
            set_link(w, rv == RELAY_EREFUSED ? MOD_RELAY_LINK_UNTRACKED : MOD_RELAY_LINK_DOWN);
        }
        disconnect(w);
        if (is_stopping(w) || moves)
            continue;
        complain(w, rv, why);
        pause_for(w, rv == RELAY_EREFUSED ? UNTRACKED_RETRY : retry);
        retry = retry * 2 < RETRY_MAX ? retry * 2 : RETRY_MAX;
    }
    return NULL;
}

apr_status_t mod_relay_watch_start(mod_relay_watch **out, const relay_config *relay,
                                   mod_relay_cache *cache, const mod_relay_watch_calls *calls,
                                   server_rec *s, apr_pool_t *p)
{
    mod_relay_watch *w = apr_pcalloc(p, sizeof(*w));
    apr_status_t rv;

    w->relay = relay;
    w->cache = cache;
    w->calls = *calls;
    w->server = s;
    w->changes = (mod_relay_changes){relay_keyname(relay, RELAY_KEYNAME_ROUTE, "", p), one_changed,
                                     all_changed, w};
    if ((w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return errno;
    if ((rv = apr_pool_create(&w->pool, p)) != APR_SUCCESS)
        return rv;
    *out = w;
    if ((rv = apr_thread_create(&w->thread, NULL, watch, w, p)) != APR_SUCCESS)
        w->thread = NULL;
    return rv;
}

void mod_relay_watch_stop(mod_relay_watch *w)
{
    apr_status_t rv;
    eventfd_t one = 1;

    apr_atomic_set32(&w->stopping, 1);
    if (write(w->wake, &one, sizeof(one)) != sizeof(one))
        ap_log_error(APLOG_MARK, APLOG_DEBUG, errno, w->server, "RLY113 the watcher stops later");
    if (w->thread)
        apr_thread_join(&rv, w->thread);
    close(w->wake);
}
