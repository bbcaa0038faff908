/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The module's threads without httpd: request threads that look names up, the watcher, and a real
 * Redis in which routes keep changing and whose connections are cut. t/threads.t builds it with
 * ThreadSanitizer. It judges as well: no answer is older than a second, and all ends in time.
 *
 * All of httpd cannot run under ThreadSanitizer: httpd, APR and OpenSSL are not built with it, and
 * their own synchronisation would be invisible. The data that threads of ours share are those of
 * mod_relay/routes/, which is all here.
 *
 * usage: threads RELAY.CONF SECONDS
 */
#include "routes/cache.h"
#include "routes/lookup.h"
#include "routes/watch.h"

#include <apr_thread_proc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define READERS 8
#define NAMES 40
#define STALE_MAX apr_time_from_sec(1)

/* ---- what httpd would have */

module AP_MODULE_DECLARE_DATA relay_module;

static unsigned complaints;

void ap_log_error_(const char *file, int line, int module_index, int level, apr_status_t status,
                   const server_rec *s, const char *fmt, ...)
{
    if ((level & APLOG_LEVELMASK) <= APLOG_ERR)
        __atomic_add_fetch(&complaints, 1, __ATOMIC_RELAXED);
}

/* ---- the test */

static struct state {
    pthread_mutex_t mutex;
    unsigned port[NAMES]; /* of the last write that Redis has confirmed; 0: deleted */
    apr_time_t since[NAMES];
    unsigned long lookups, found, absent, away, stale;
    int stop;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const relay_config *cfg;
static mod_relay_cache *cache;
static mod_relay_lookups *lookups;
static mod_relay_watch *watch;
static const mod_relay_server conf = {.cache_ttl = APR_USEC_PER_SEC * 60,
                                      .stale_max = STALE_MAX / 2};

/* One look-up, and whether the answer can be right. */
static void look(unsigned n, apr_pool_t *p)
{
    const char *gone = NULL, *name = apr_psprintf(p, "n%u", n % NAMES);
    relay_route route = {0};
    unsigned expected;
    apr_time_t since;
    apr_status_t rv;
    int settled;

    if (n % 7 == 0)
        name = apr_psprintf(p, "unknown-%u", n);
    pthread_mutex_lock(&state.mutex);
    expected = state.port[n % NAMES];
    since = state.since[n % NAMES];
    settled = n % 7 && relay_clock() - since > STALE_MAX;
    pthread_mutex_unlock(&state.mutex);
    rv = mod_relay_lookup(lookups, &conf, name, &route, &gone, p);
    pthread_mutex_lock(&state.mutex);
    /* Only where nothing was written in the meantime, nor is being written. */
    settled = settled && since == state.since[n % NAMES];
    state.lookups++;
    state.found += rv == APR_SUCCESS;
    state.absent += rv == RELAY_ENOTFOUND || rv == RELAY_EGONE;
    state.away += rv == RELAY_EUNREACHABLE;
    if ((settled && rv == APR_SUCCESS && route.listen.port != expected) ||
        (settled && expected && (rv == RELAY_ENOTFOUND || rv == RELAY_EGONE)) ||
        (n % 7 == 0 && rv == APR_SUCCESS)) {
        state.stale++;
        fprintf(stderr, "%s: port %u, status %d, expected %u\n", name, route.listen.port, rv,
                expected);
    }
    pthread_mutex_unlock(&state.mutex);
}

static int stopped(void)
{
    int stop;

    pthread_mutex_lock(&state.mutex);
    stop = state.stop;
    pthread_mutex_unlock(&state.mutex);
    return stop;
}

static void *reader(void *arg)
{
    unsigned seed = (unsigned)(apr_uintptr_t)arg;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    while (!stopped()) {
        look((unsigned)rand_r(&seed), p);
        apr_pool_clear(p);
    }
    apr_pool_destroy(p);
    return NULL;
}

static int run(relay_store *s, int argc, const char **argv, apr_pool_t *p)
{
    redisReply *reply;
    const char *why = NULL;

    if (relay_store_command(s, &reply, argc, argv, NULL, p, &why) != APR_SUCCESS) {
        fprintf(stderr, "%s: %s\n", argv[0], why);
        return 0;
    }
    freeReplyObject(reply);
    return 1;
}

/* Writes or deletes one route. */
static int change(relay_store *s, unsigned n, unsigned port, apr_pool_t *p)
{
    const char *key = relay_store_key(s, p, RELAY_KEYNAME_ROUTE, apr_psprintf(p, "n%u", n));
    const char *set[] = {"HSET",    key,
                         "v",       "1",
                         "tunnel",  "t",
                         "relay",   cfg->name,
                         "listen",  apr_psprintf(p, "127.77.0.5:%u", port),
                         "scheme",  "http",
                         "expires", "1999999999999"};
    const char *live[] = {"PEXPIRE", key, "100000"}, *del[] = {"DEL", key};
    int done;

    pthread_mutex_lock(&state.mutex);
    state.since[n] = APR_INT64_MAX / 2; /* being written: nothing is expected */
    pthread_mutex_unlock(&state.mutex);
    done = port ? run(s, 14, set, p) && run(s, 3, live, p) : run(s, 2, del, p);
    pthread_mutex_lock(&state.mutex);
    state.port[n] = port;
    state.since[n] = relay_clock();
    pthread_mutex_unlock(&state.mutex);
    return done;
}

static int writer(relay_store *s, apr_interval_time_t span, apr_pool_t *p)
{
    const char *cut[] = {"CLIENT", "KILL", "TYPE", "pubsub"}, *flush[] = {"FLUSHDB"};
    const char *cut_all[] = {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"};
    apr_time_t until = relay_clock() + span;
    unsigned i, n, seed = 1;
    apr_pool_t *sub;
    int done = 1;

    apr_pool_create(&sub, p);
    for (i = 0; done && relay_clock() < until; i++) {
        n = (unsigned)rand_r(&seed) % (NAMES / 2) * 2; /* the odd names stay as they are for long */
        done = change(s, n, rand_r(&seed) % 5 ? 10000 + i % 40000 : 0, sub);
        if (i % 20 == 0)
            done = done && change(s, (unsigned)rand_r(&seed) % NAMES, 10000 + i % 40000, sub);
        if (i % 150 == 149)
            done = done && run(s, 4, cut, sub);
        if (i % 400 == 399)
            done = done && run(s, 6, cut_all, sub);
        if (i % 1000 == 999) {
            for (n = 0; n < NAMES; n++)
                done = done && change(s, n, 0, sub);
            done = done && run(s, 1, flush, sub);
        }
        apr_sleep(2000);
        apr_pool_clear(sub);
    }
    return done;
}

/* As setup.c makes it. */
static apr_pool_t *make_locked_pool(void)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;

    apr_allocator_create(&allocator);
    apr_pool_create_ex(&pool, NULL, NULL, allocator);
    apr_allocator_owner_set(allocator, pool);
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    apr_allocator_mutex_set(allocator, mutex);
    return pool;
}

/* ---- what the watcher tells others than the cache */

static void on_change(void *baton, const char *name)
{
}

static void on_answers(void *baton)
{
    mod_relay_lookups_resume(lookups);
}

static void on_follows(void *baton, const relay_redis_url *at)
{
    mod_relay_lookups_follow(lookups, at);
}

static void on_tick(void *baton)
{
    mod_relay_lookups_sweep(lookups);
}

static const mod_relay_watch_calls calls = {on_change, on_answers, on_follows, on_tick, NULL};

int main(int argc, char **argv)
{
    pthread_t threads[READERS];
    const char *why = NULL;
    relay_config *loaded;
    relay_store *s;
    apr_pool_t *p, *locked;
    int i, wrote;

    signal(SIGPIPE, SIG_IGN); /* as httpd does */
    apr_initialize();
    apr_pool_create(&p, NULL);
    if (argc != 3 || relay_config_load(&loaded, argv[1], "web", p, &why) != APR_SUCCESS) {
        fprintf(stderr, "usage: threads RELAY.CONF SECONDS (%s)\n", why ? why : "");
        return 2;
    }
    cfg = loaded;
    locked = make_locked_pool();
    mod_relay_cache_create(&cache, locked);
    mod_relay_lookups_create(&lookups, cfg, cache, NULL, locked);
    if (mod_relay_watch_start(&watch, cfg, cache, &calls, NULL, locked) != APR_SUCCESS)
        return 2;
    relay_store_create(&s, cfg, p);
    for (i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, reader, (void *)(apr_uintptr_t)(i + 1));
    wrote = writer(s, apr_time_from_sec(strtol(argv[2], NULL, 10)), p);
    pthread_mutex_lock(&state.mutex);
    state.stop = 1;
    pthread_mutex_unlock(&state.mutex);
    for (i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    mod_relay_watch_stop(watch);
    mod_relay_cache_flush(cache);
    printf("lookups %lu found %lu absent %lu away %lu wrong %lu complaints %u\n", state.lookups,
           state.found, state.absent, state.away, state.stale, complaints);
    apr_pool_destroy(locked);
    apr_pool_destroy(p);
    return wrote && !state.stale ? 0 : 1;
}
