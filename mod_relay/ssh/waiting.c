/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * In the event MPM's poll set each silent connection would stay for Timeout, 300 s, out of
 * mod_reqtimeout's sight. The MPM stops accepting when some three connections for each of its
 * threads are open (connections_above_limit()), so that a few hundred silent ones closed the relay.
 * Here they are ended in time, and kept few.
 *
 * When there is one too many, the source with most connections loses its oldest: a stranger ends
 * his own. An honest client speaks at once, and waits only for its first packet's way.
 *
 * A connection whose time is over gets its socket shut down, which wakes the MPM. That is done on a
 * copy of the descriptor: httpd may have closed its own by then, and opened another with the same
 * number.
 */

#include "waiting.h"
#include "hooks.h"
#include "servers.h"

#include <ap_mpm.h>
#include <errno.h>
#include <fcntl.h>
#include <http_connection.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thread does not wake more often. */
#define NAP apr_time_from_msec(50)
#define NEVER ((apr_time_t)APR_INT64_MAX)
#define SOURCE_SIZE 16
#define REPORT_EVERY apr_time_from_sec(10)
#define KEY "mod_relay-waiting"

/* An IPv4 address or an IPv6 /64. */
typedef struct source {
    struct source *next;
    unsigned char address[SOURCE_SIZE];
    int waiters;
} source;

typedef struct waiter {
    struct waiter *next, *previous; /* by age */
    apr_time_t until;
    source *from;
    int copy; /* of the socket's descriptor; -1: it waits no longer */
    mod_relay_waiting_over over;
} waiter;

static struct {
    pthread_mutex_t mutex; /* guards all below, and all waiters */
    pthread_cond_t changed;
    pthread_t thread;
    server_rec *server; /* NULL: no connection waits in this process */
    waiter *oldest, *newest;
    source *sources;
    int count, max;
    apr_time_t due; /* when the thread looks next */
    int stopping;
    unsigned let_go; /* connections, since the last report */
    apr_time_t reported;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER, .due = NEVER};

/* ---- sources; under the lock */

static source *source_of(const conn_rec *c)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const unsigned char *ip = c->client_addr->ipaddr_ptr;
    unsigned char address[SOURCE_SIZE] = {0};
    source *s;

    if (c->client_addr->ipaddr_len == 4)
        memcpy(address + 12, ip, 4);
    else if (memcmp(ip, mapped, sizeof(mapped)) == 0)
        memcpy(address + 12, ip + 12, 4);
    else
        memcpy(address, ip, 8);
    for (s = all.sources; s; s = s->next)
        if (memcmp(s->address, address, SOURCE_SIZE) == 0)
            return s;
    if ((s = calloc(1, sizeof(*s))) != NULL) {
        memcpy(s->address, address, SOURCE_SIZE);
        s->next = all.sources;
        all.sources = s;
    }
    return s;
}

static void forget_source(source *s)
{
    source **at;

    for (at = &all.sources; *at != s; at = &(*at)->next)
        ;
    *at = s->next;
    free(s);
}

/* ---- waiters; under the lock */

static void take_out(waiter *w)
{
    if (w->copy < 0)
        return;
    *(w->previous ? &w->previous->next : &all.oldest) = w->next;
    *(w->next ? &w->next->previous : &all.newest) = w->previous;
    all.count--;
    if (--w->from->waiters == 0)
        forget_source(w->from);
    close(w->copy);
    w->copy = -1;
}

static void end(waiter *w, mod_relay_waiting_over why)
{
    w->over = why;
    shutdown(w->copy, SHUT_RDWR);
    take_out(w);
}

/* The oldest of that source; NULL: of the source that has most. */
static waiter *oldest_of(const source *from)
{
    const source *s;
    waiter *w;
    int most = 0;

    for (s = all.sources; s && !from; s = s->next)
        if (s->waiters > most)
            most = s->waiters;
    for (w = all.oldest; w; w = w->next)
        if (from ? w->from == from : w->from->waiters == most)
            return w;
    return NULL;
}

static void report(void)
{
    apr_time_t now = relay_clock();

    if (!all.let_go || now - all.reported < REPORT_EVERY)
        return;
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, all.server,
                 "RLY158 %u connections were let go that had said nothing, or half a word: more "
                 "than RelaySSHWaitMax (%d in each process, half of them from one address)",
                 all.let_go, all.max);
    all.reported = now;
    all.let_go = 0;
}

static void make_room(const source *from)
{
    waiter *w = NULL;

    if (from->waiters > (all.max + 1) / 2)
        w = oldest_of(from);
    else if (all.count > all.max)
        w = oldest_of(NULL);
    if (!w)
        return;
    end(w, MOD_RELAY_WAITING_CROWDED);
    all.let_go++;
    report();
}

static void set_until(waiter *w, apr_time_t until)
{
    w->until = until;
    if (until >= all.due)
        return;
    all.due = until;
    pthread_cond_signal(&all.changed);
}

static void put_in(waiter *w)
{
    w->previous = all.newest;
    *(all.newest ? &all.newest->next : &all.oldest) = w;
    all.newest = w;
    all.count++;
    w->from->waiters++;
}

/* ---- the connection's side, for handoff.c */

static waiter *waiter_of(const conn_rec *c)
{
    void *w = NULL;

    apr_pool_userdata_get(&w, KEY, c->pool);
    return w;
}

static apr_status_t leave(void *data)
{
    pthread_mutex_lock(&all.mutex);
    take_out(data);
    pthread_mutex_unlock(&all.mutex);
    return APR_SUCCESS;
}

/* The client has said something meanwhile, and the connection waits for more. */
static void go_on(waiter *w, apr_time_t until)
{
    pthread_mutex_lock(&all.mutex);
    if (w->copy >= 0 && until < w->until)
        set_until(w, until);
    pthread_mutex_unlock(&all.mutex);
}

int mod_relay_waiting_begin(conn_rec *c, int fd, const mod_relay_server *conf,
                            apr_interval_time_t patience)
{
    waiter *w = waiter_of(c);
    apr_time_t until = relay_clock() + patience;

    if (w)
        go_on(w, until);
    if (w || !all.server)
        return w != NULL;
    w = apr_pcalloc(c->pool, sizeof(*w));
    if ((w->copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return 0;
    pthread_mutex_lock(&all.mutex);
    if ((w->from = source_of(c)) == NULL) {
        pthread_mutex_unlock(&all.mutex);
        close(w->copy);
        return 0;
    }
    if (conf->ssh_wait_max > 0)
        all.max = conf->ssh_wait_max;
    put_in(w);
    set_until(w, until);
    make_room(w->from);
    pthread_mutex_unlock(&all.mutex);
    apr_pool_userdata_setn(w, KEY, NULL, c->pool);
    apr_pool_cleanup_register(c->pool, w, leave, apr_pool_cleanup_null);
    return 1;
}

mod_relay_waiting_over mod_relay_waiting_is_over(conn_rec *c)
{
    mod_relay_waiting_over over = MOD_RELAY_WAITING;
    waiter *w = waiter_of(c);

    if (w) {
        pthread_mutex_lock(&all.mutex);
        over = w->over;
        pthread_mutex_unlock(&all.mutex);
    }
    return over;
}

void mod_relay_waiting_end(conn_rec *c)
{
    waiter *w = waiter_of(c);

    if (w)
        apr_pool_cleanup_run(c->pool, w, leave);
}

/* ---- the thread that ends connections whose time is over */

static void sleep_until(apr_time_t when)
{
    apr_interval_time_t left = when - relay_clock();
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    left += apr_time_from_sec(until.tv_sec) + until.tv_nsec / 1000;
    until.tv_sec = (time_t)apr_time_sec(left);
    until.tv_nsec = (long)apr_time_usec(left) * 1000;
    pthread_cond_timedwait(&all.changed, &all.mutex, &until);
}

/* Ends those whose time is over, and notes when the next one's will be. */
static void look_after(apr_time_t now)
{
    waiter *w, *next;

    all.due = NEVER;
    for (w = all.oldest; w; w = next) {
        next = w->next;
        if (w->until <= now)
            end(w, MOD_RELAY_WAITING_TOO_LONG);
        else if (w->until < all.due)
            all.due = w->until > now + NAP ? w->until : now + NAP;
    }
}

static void *watch(void *data)
{
    pthread_mutex_lock(&all.mutex);
    while (!all.stopping) {
        apr_time_t now = relay_clock();

        if (now >= all.due)
            look_after(now);
        else if (all.due == NEVER)
            pthread_cond_wait(&all.changed, &all.mutex);
        else
            sleep_until(all.due);
    }
    pthread_mutex_unlock(&all.mutex);
    return data;
}

static apr_status_t stop(void *data)
{
    pthread_mutex_lock(&all.mutex);
    all.stopping = 1;
    pthread_cond_signal(&all.changed);
    pthread_mutex_unlock(&all.mutex);
    pthread_join(all.thread, NULL);
    return APR_SUCCESS;
}

static int mpm_waits(void)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 137)
    int can;

    return ap_mpm_query(AP_MPMQ_CAN_WAITIO, &can) == APR_SUCCESS && can;
#else
    return 0;
#endif
}

static int start(void)
{
    pthread_condattr_t attr;
    sigset_t every, before;
    int rc;

    if ((rc = pthread_condattr_init(&attr)) != 0)
        return rc;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(&all.changed, &attr);
    pthread_condattr_destroy(&attr);
    if (rc != 0)
        return rc;
    /* httpd's signals are for its own threads. */
    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, &before);
    rc = pthread_create(&all.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    int threads, rc;

    if (!mod_relay_ssh_is_on() || !mpm_waits() ||
        ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS)
        return;
    all.max = threads > 3 ? threads / 2 : 2;
    if ((rc = start()) != 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rc, s,
                     "RLY159 no thread for connections that wait: clients that are slow to speak "
                     "are let go");
        return;
    }
    all.server = s;
    /* It ends before any pool goes, and with it a connection. */
    apr_pool_pre_cleanup_register(p, NULL, stop);
}

void mod_relay_waiting_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
