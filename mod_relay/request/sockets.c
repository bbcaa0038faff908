/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Whoever waits for a connection calls for idle ones (places.h). A thread of each child then closes
 * those of the devices that are wanted, under the list's lock: the end of a socket's connection
 * takes that lock before the descriptor is closed.
 */

#include "sockets.h"
#include "backend.h"
#include "hooks.h"
#include "places.h"

#include <apr_atomic.h>
#include <apr_portable.h>
#include <apr_thread_proc.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* An idle connection is closed if its device was wanted so lately. */
#define WANTED_FOR apr_time_from_msec(500)
/* A device that may lack sockets can be silent for so long before others are closed for it. */
#define SILENT_MAX apr_time_from_msec(250)
/* A connection that was used so lately may be used again. */
#define IDLE_MIN apr_time_from_msec(100)

struct mod_relay_socket {
    TAILQ_ENTRY(mod_relay_socket) entry;
    mod_relay_backend *backend;
    /* guarded by the lock: */
    int refs;         /* its connection, and the request that has it */
    const void *user; /* that request; NULL: it is idle; or CLOSING */
    apr_time_t idle_since;
    int fd;                  /* -1: its connection has ended */
    unsigned open, answered; /* cells of the two counts, 0: it is not in that one */
    /* the request's: */
    int kept;     /* a visitor is logged in on it */
    int unproved; /* nothing was sent on it at first, and the device may let it wait even now */
    apr_time_t begun;
};

static const char closing;
#define CLOSING ((const void *)&closing)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list, too */
static TAILQ_HEAD(sockets, mod_relay_socket) all = TAILQ_HEAD_INITIALIZER(all);
static apr_thread_t *closer;
static volatile apr_uint32_t stopping;

/* ---- idle ones */

static int is_recent(apr_time_t at, apr_time_t now)
{
    return at && now - at < WANTED_FOR;
}

/* Does somebody wait who cannot have an idle connection as it is? */
static int is_for_others(mod_relay_backend *be, const mod_relay_device *d, apr_time_t now)
{
    return is_recent(d->wanted, now) &&
           (!apr_atomic_read32(&mod_relay_backend_device(be)->waiting) ||
            is_recent(d->urgent, now));
}

/* Under the lock. For the device it is closed then; mod_proxy notices when it takes it. */
static void close_idle(mod_relay_socket *s, mod_relay_device *d, apr_time_t now)
{
    if (s->kept || s->user)
        return;
    s->user = CLOSING;
    apr_atomic_dec32(&mod_relay_backend_device(s->backend)->idle);
    shutdown(s->fd, SHUT_RDWR);
    mod_relay_place_give(&s->open);
    mod_relay_place_give(&s->answered);
    d->freed = now;
}

static void close_wanted(void)
{
    apr_time_t now = relay_clock();
    mod_relay_socket *s;

    pthread_mutex_lock(&lock);
    for (s = TAILQ_FIRST(&all); s; s = TAILQ_NEXT(s, entry)) {
        mod_relay_device *d = mod_relay_places_device(s->backend);

        if (is_for_others(s->backend, d, now) ||
            (is_recent(d->silent, now) && now - s->idle_since >= IDLE_MIN))
            close_idle(s, d, now);
    }
    pthread_mutex_unlock(&lock);
}

static void *APR_THREAD_FUNC close_when_called(apr_thread_t *thread, void *data)
{
    sigset_t every;

    sigfillset(&every); /* httpd's signals are for its own threads */
    pthread_sigmask(SIG_BLOCK, &every, NULL);
    while (!apr_atomic_read32(&stopping)) {
        apr_uint32_t seen = mod_relay_shared_calls();

        close_wanted();
        if (!apr_atomic_read32(&stopping))
            mod_relay_shared_await(seen);
    }
    return NULL;
}

/* ---- idle, or ended */

/* Under the lock. */
static void release(mod_relay_socket *s)
{
    if (--s->refs == 0)
        free(s);
}

/* The request is done with the socket that it has, if any. */
static void let_go(mod_relay_request *rr)
{
    mod_relay_socket *s = rr->socket;
    mod_relay_backend_device_of *of;
    mod_relay_device *d;
    apr_time_t now;

    rr->socket = NULL;
    if (!s)
        return;
    pthread_mutex_lock(&lock);
    if (s->fd >= 0 && s->user == rr) {
        of = mod_relay_backend_device(s->backend);
        d = mod_relay_places_device(s->backend);
        apr_atomic_inc32(&of->idle);
        s->user = NULL;
        now = s->idle_since = d->moved = relay_clock();
        if (is_for_others(s->backend, d, now))
            close_idle(s, d, now);
    }
    release(s);
    pthread_mutex_unlock(&lock);
}

/* ---- its life */

int mod_relay_socket_open(mod_relay_socket **out, conn_rec *c, apr_socket_t *csd,
                          mod_relay_request *rr)
{
    mod_relay_connected how;
    mod_relay_socket *s;
    int status = mod_relay_place_settle(rr, c, csd, &how);

    *out = NULL;
    if (!rr->place || (s = calloc(1, sizeof(*s))) == NULL)
        return status;
    apr_os_sock_get(&s->fd, csd);
    s->backend = rr->backend;
    s->kept = rr->pinned;
    s->begun = how.begun;
    s->unproved = how.waited;
    s->open = rr->place;
    rr->place = 0;
    s->user = rr;
    s->refs = 2;
    let_go(rr);
    rr->socket = s;
    pthread_mutex_lock(&lock);
    TAILQ_INSERT_TAIL(&all, s, entry);
    pthread_mutex_unlock(&lock);
    *out = s;
    return status;
}

int mod_relay_socket_take(mod_relay_socket *s, mod_relay_request *rr)
{
    int taken;

    if (rr->socket == s)
        return 1;
    let_go(rr);
    pthread_mutex_lock(&lock);
    taken = s->user != CLOSING;
    if (taken) {
        if (!s->user)
            apr_atomic_dec32(&mod_relay_backend_device(s->backend)->idle);
        s->user = rr; /* another request may not know yet that mod_proxy is done with it */
        s->refs++;
        rr->socket = s;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void mod_relay_socket_answered(mod_relay_socket *s, apr_time_t sent)
{
    mod_relay_device *d = mod_relay_places_device(s->backend);
    apr_time_t now = relay_clock();
    unsigned n;

    s->answered = mod_relay_place_take('=', d, UINT_MAX, NULL);
    n = mod_relay_places_count('=', d);
    mod_relay_device_answers(d, n, s->unproved ? 0 : now - (sent ? sent : s->begun), now);
    s->unproved = 0;
}

void mod_relay_socket_failed(mod_relay_socket *s, int unread)
{
    mod_relay_device *d = mod_relay_places_device(s->backend);
    unsigned n = mod_relay_places_count('+', d);

    if (unread && n > 1)
        mod_relay_places_learn(d, n - 1, mod_relay_device_refuses_after(d, 1, relay_clock()));
    else if (s->unproved)
        mod_relay_device_refuses_later(d);
    else if (n > 1 && n > d->proved)
        mod_relay_device_refuses(d, 0, relay_clock());
    d->freed = relay_clock(); /* whatever it was, the next ones are looked at */
}

void mod_relay_socket_ended(mod_relay_socket *s)
{
    mod_relay_device *d = mod_relay_places_device(s->backend);
    apr_time_t now = relay_clock();

    pthread_mutex_lock(&lock);
    TAILQ_REMOVE(&all, s, entry);
    s->fd = -1;
    d->freed = d->moved = now;
    if (!s->user)
        apr_atomic_dec32(&mod_relay_backend_device(s->backend)->idle);
    mod_relay_place_give(&s->open);
    mod_relay_place_give(&s->answered);
    release(s);
    pthread_mutex_unlock(&lock);
}

void mod_relay_sockets_end(mod_relay_request *rr)
{
    mod_relay_place_give(&rr->place);
    let_go(rr);
}

apr_interval_time_t mod_relay_sockets_patience(const mod_relay_request *rr)
{
    return rr->socket && rr->socket->unproved ? SILENT_MAX : 0;
}

void mod_relay_sockets_silent(const mod_relay_request *rr)
{
    mod_relay_device *d;

    if (!rr->socket || !rr->socket->unproved)
        return;
    d = mod_relay_places_device(rr->socket->backend);
    d->silent = relay_clock();
    mod_relay_places_call(d);
}

/* ---- the thread */

static apr_status_t stop(void *data)
{
    apr_status_t rv;

    apr_atomic_set32(&stopping, 1);
    mod_relay_shared_call();
    apr_thread_join(&rv, closer);
    return APR_SUCCESS;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    apr_status_t rv;

    if (!mod_relay_shared_get())
        return;
    if ((rv = apr_thread_create(&closer, NULL, close_when_called, NULL, p)) == APR_SUCCESS)
        apr_pool_pre_cleanup_register(p, NULL, stop);
    else
        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, s,
            "RLY169 cannot start the thread that closes idle connections of small devices");
}

void mod_relay_sockets_register_hooks(apr_pool_t *p)
{
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
