/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * While a device has more connections than ever had answers at the same time, the newest ones may
 * be refused. So before anything is sent on one of them, some time passes in which the device would
 * refuse it: sshd accepts every connection at once, and closes it when the device does not. What
 * was refused in that time has not reached the device, so that any request can go on with another
 * connection.
 */

#include "places.h"
#include "backend.h"
#include "owner.h"
#include "turn.h"

#include <apr_atomic.h>
#include <apr_portable.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM "*device"
/* A request is given up when no connection of its device becomes free for so long. */
#define QUIET_MAX apr_time_from_sec(10)
/* All are told of it so often. */
#define CALL_EVERY apr_time_from_msec(50)
/* Whoever waits for longer goes ahead of those in the process that has the connections. */
#define URGENT_AFTER apr_time_from_sec(1)
#define POLL_MS 10
#define KEY_SIZE 20

/* ---- counts */

static const char *key_of(char *buf, char kind, const mod_relay_device *d)
{
    apr_snprintf(buf, KEY_SIZE, "%c%" APR_UINT64_T_HEX_FMT, kind, d->key);
    return buf;
}

unsigned mod_relay_places_count(char kind, const mod_relay_device *d)
{
    const mod_relay_shared *shared = mod_relay_shared_get();
    char key[KEY_SIZE];

    return mod_relay_counts_of(shared->counts, key_of(key, kind, d));
}

unsigned mod_relay_place_take(char kind, const mod_relay_device *d, unsigned limit, int *refused)
{
    char key[KEY_SIZE];
    unsigned cell = 0;
    mod_relay_taken how = mod_relay_shared_take(key_of(key, kind, d), limit, &cell);

    if (refused)
        *refused = how == MOD_RELAY_REFUSED;
    return how == MOD_RELAY_TAKEN ? cell : 0;
}

void mod_relay_place_give(unsigned *cell)
{
    if (*cell)
        mod_relay_shared_give(*cell);
    *cell = 0;
}

mod_relay_device *mod_relay_places_device(mod_relay_backend *be)
{
    mod_relay_backend_device_of *of = mod_relay_backend_device(be);

    if (!of->device || of->device->key != of->key)
        of->device =
            mod_relay_devices_find(mod_relay_shared_get()->devices, of->key, relay_clock());
    return of->device;
}

void mod_relay_places_call(mod_relay_device *d)
{
    apr_time_t now = relay_clock();

    if (d->called && now - d->called < CALL_EVERY)
        return;
    d->called = now;
    mod_relay_shared_call();
}

/* ---- a request's turn */

typedef struct turn {
    mod_relay_turn turn;
    const mod_relay_shared *shared;
    mod_relay_request *rr;
    mod_relay_backend_device_of *of;
    mod_relay_device *device;
} turn;

/* @return 0: nothing is counted of this request's device */
static int prepare(turn *t, mod_relay_request *rr)
{
    memset(t, 0, sizeof(*t));
    t->rr = rr;
    t->of = mod_relay_backend_device(rr->backend);
    if ((t->shared = mod_relay_shared_get()) == NULL || !t->of->key)
        return 0;
    t->device = mod_relay_places_device(rr->backend);
    return 1;
}

/* @return 0: the device has no connection for the request now */
static int may_connect(turn *t)
{
    apr_time_t now = relay_clock();
    unsigned max = mod_relay_device_allows(t->device, now);
    int refused;

    if (mod_relay_device_is_closing(t->device, now))
        return 0;
    t->rr->place = mod_relay_place_take('+', t->device, max, &refused);
    return !refused;
}

static int begin(turn *t)
{
    return mod_relay_turn_begin(&t->turn, t->rr->r, ROOM, UINT_MAX);
}

static int wait_a_moment(turn *t)
{
    apr_time_t now = relay_clock(), moved = t->device->moved;

    if (now - t->turn.began >= URGENT_AFTER)
        t->device->urgent = now;
    t->device->wanted = now;
    mod_relay_places_call(t->device);
    return mod_relay_turn_wait(&t->turn,
                               (moved > t->turn.began ? moved : t->turn.began) + QUIET_MAX);
}

/* Whoever else waits says so again at once. If this stayed, the connection that was waited for
 * would be closed after its first answer. */
static void end(turn *t)
{
    t->device->wanted = 0;
    mod_relay_turn_end(&t->turn);
}

static int give_up(turn *t)
{
    t->rr->crowded = 1;
    apr_atomic_inc32(&t->shared->tally->crowded);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* wire.c keeps a request that cannot be repeated from a device that may close its connections. */
static int takes_idle(const turn *t)
{
    return t->rr->repeatable || mod_relay_backend_habits(t->rr->backend)->keeps;
}

static int has_idle(const turn *t)
{
    return apr_atomic_read32(&t->of->idle) && takes_idle(t);
}

int mod_relay_places_wait(request_rec *r, mod_relay_request *rr)
{
    int status = OK, idle;
    turn t;

    rr->r = r;
    rr->crowded = 0;
    if (!prepare(&t, rr) || rr->pinned || !t.device->limit ||
        mod_relay_device_allows(t.device, relay_clock()) == UINT_MAX)
        return OK;
    if (has_idle(&t) || may_connect(&t) || !begin(&t))
        return OK;
    if ((idle = takes_idle(&t)) != 0)
        apr_atomic_inc32(&t.of->waiting);
    while (status == OK && !has_idle(&t) && !may_connect(&t))
        if (!wait_a_moment(&t))
            status = give_up(&t);
    if (idle)
        apr_atomic_dec32(&t.of->waiting);
    end(&t);
    return status;
}

/* ---- a new connection */

/* What the device has said unasked. */
static int is_refusal(const char *data, ssize_t size)
{
    static const char version[] = "HTTP/1.", status[] = " 503";

    return size <= 0 ||
           (size >= 12 && memcmp(data, version, 7) == 0 && memcmp(data + 8, status, 4) == 0);
}

/* Has the device refused it, by the time when it would have? */
static int is_refused(int fd, const mod_relay_device *d, unsigned n, apr_time_t begun)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char data[12];

    while (poll(&p, 1, POLL_MS) == 0) {
        apr_time_t now = relay_clock();

        if (now - begun >= mod_relay_device_refuses_after(d, n, now))
            return 0;
    }
    return is_refusal(data, recv(fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT));
}

/* A new connection in place of the old one, which mod_proxy goes on with. */
static int connect_anew(apr_socket_t *csd, int fd)
{
    int flags = fcntl(fd, F_GETFL), one = 1, fresh, done;
    apr_sockaddr_t *to;

    if (apr_socket_addr_get(&to, APR_REMOTE, csd) != APR_SUCCESS ||
        (fresh = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return 0;
    setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    done = connect(fresh, (struct sockaddr *)&to->sa, to->salen) == 0 &&
           fcntl(fresh, F_SETFL, flags) == 0 && dup3(fresh, fd, O_CLOEXEC) == fd;
    close(fresh);
    return done;
}

void mod_relay_places_learn(mod_relay_device *d, unsigned others, apr_interval_time_t moment)
{
    apr_time_t now = relay_clock();
    unsigned known = mod_relay_device_allows(d, now) == UINT_MAX ? d->proved : d->limit;

    /* One that is being closed counts for the device a little longer than here. Else it takes fewer
     * than it did, because others than the relay have some. */
    if (now - d->freed <= 2 * moment && others < known)
        others = known;
    mod_relay_device_takes_only(d, others, now);
}

/*
 * The device has refused the connection, and nothing of the request was sent. Waits for the end of
 * another one.
 * @return 0: it is in vain
 */
static int wait_for_another(turn *t, int fd, int *status)
{
    apr_interval_time_t moment = mod_relay_device_refuses_after(t->device, 1, relay_clock());
    unsigned others;

    mod_relay_place_give(&t->rr->place);
    t->device->wanted = relay_clock();
    mod_relay_places_call(t->device);
    /* Until all that came at the same time know whether they are refused. */
    apr_sleep(moment);
    others = mod_relay_places_count('+', t->device);
    if (!others && mod_relay_device_is_away(t->device, relay_clock()))
        return 0; /* mod_proxy will find out the same */
    shutdown(fd, SHUT_RDWR);
    mod_relay_places_learn(t->device, others, moment);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, t->rr->r,
                  "RLY171 tunnel %s: the device has refused a connection, having %u others; it is "
                  "taken for one that takes %u",
                  t->rr->route.tunnel, others, t->device->limit);
    while (!may_connect(t))
        if (!wait_a_moment(t)) {
            *status = give_up(t);
            return 0;
        }
    return 1;
}

int mod_relay_place_settle(mod_relay_request *rr, conn_rec *c, apr_socket_t *csd,
                           mod_relay_connected *how)
{
    apr_os_sock_t fd;
    int status = OK, waits = 0;
    unsigned cell, n, all;
    turn t;

    memset(how, 0, sizeof(*how));
    how->begun = relay_clock();
    if (!prepare(&t, rr) || apr_os_sock_get(&fd, csd) != APR_SUCCESS)
        return OK;
    if (!rr->place)
        rr->place = mod_relay_place_take('+', t.device, UINT_MAX, NULL);
    all = mod_relay_places_count('+', t.device);
    if (!mod_relay_device_may_refuse(t.device, all, how->begun))
        return OK;
    how->waited = 1;
    cell = mod_relay_place_take('~', t.device, UINT_MAX, NULL);
    n = mod_relay_places_count('~', t.device);
    while (is_refused(fd, t.device, n, how->begun)) {
        apr_time_t now = relay_clock();

        mod_relay_device_refuses(t.device, now - how->begun, now);
        if ((!waits && !(waits = begin(&t))) || !wait_for_another(&t, fd, &status) ||
            !connect_anew(csd, fd))
            break;
        /* What listens there now need not be what listened before. */
        if ((status = mod_relay_owner_check(c, csd)) == HTTP_SERVICE_UNAVAILABLE)
            break;
        status = OK;
        how->begun = relay_clock();
    }
    mod_relay_place_give(&cell);
    if (waits)
        end(&t);
    else
        mod_relay_device_takes(t.device, all);
    return status;
}

unsigned mod_relay_places_waiting(void)
{
    return mod_relay_turn_waiting(ROOM);
}
