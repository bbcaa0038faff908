/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "takeover.h"
#include "ground/loop.h"
#include "events.h"
#include "ground/transport.h"
#include "listeners.h"
#include "parking.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A client asks for its forwards as soon as it hears that it is let in: one round trip, and what a
 * slow processor needs. */
#define WAIT_MS 1500
#define WAIT_ROUND_TRIPS 4
#define WAIT_MAX_MS 5000
#define WAIT_UNKNOWN_MS 3000 /* the round trip is not known: SSH inside TLS */
#define TICK_MS 50
#define RESERVED_MS 60000
#define FRUITLESS_MAX 3
#define FRUITLESS_MS 60000
#define CONTESTED_MS 60000
#define CONTESTED_AGAIN_MS 600000

/** A newcomer that an older session's listeners are parked for. */
typedef struct wait {
    struct wait *next;
    uint64_t newcomer, older;
    int64_t until_ms;
} waiting;

struct takeovers {
    waiting *first;
    struct event *timer;
};

static int is_silent(const session *s)
{
    int fd = transport_open(s->monitor, s->pidfd), silent;

    if (fd < 0)
        return 0;
    silent = transport_is_silent(fd);
    close(fd);
    return silent;
}

static int64_t patience(const session *s)
{
    int fd = transport_open(s->monitor, s->pidfd), rtt;

    if (fd < 0)
        return WAIT_UNKNOWN_MS;
    rtt = transport_rtt_ms(fd);
    close(fd);
    if (rtt < 0)
        return WAIT_UNKNOWN_MS;
    return WAIT_MS + WAIT_ROUND_TRIPS * rtt < WAIT_MAX_MS ? WAIT_MS + WAIT_ROUND_TRIPS * rtt
                                                          : WAIT_MAX_MS;
}

/** Its listeners listen again, if they can. @return 0; -1 when another session has an address,
 * maybe the newcomer after all */
static int give_back(session *older)
{
    if (!older->takeover.parked || older->state != SESSION_PROVED)
        return 0;
    if (parking_restore(older) < 0) {
        listeners_look(older->d);
        return -1;
    }
    older->takeover.parked = 0;
    older->takeover.fruitless =
        now_ms() - older->takeover.fruitless_ms < FRUITLESS_MS ? older->takeover.fruitless + 1 : 1;
    older->takeover.fruitless_ms = now_ms();
    session_expects(older);
    return 0;
}

static void forget(waiting **at)
{
    waiting *w = *at;

    *at = w->next;
    free(w);
}

static void wait_for(session *newcomer, session *older)
{
    struct takeovers *t = newcomer->d->takeovers;
    waiting *w;

    for (w = t->first; w && w->older != older->id; w = w->next)
        ;
    if (!w) {
        w = must_alloc(sizeof(*w));
        w->older = older->id;
        w->next = t->first;
        t->first = w;
    }
    w->newcomer = newcomer->id;
    w->until_ms = now_ms() + patience(newcomer);
    timer_arm(t->timer, TICK_MS);
}

/** @return whether its listeners are parked now */
static int park(session *older)
{
    if (older->takeover.parked)
        return 1;
    if (older->takeover.fruitless >= FRUITLESS_MAX &&
        now_ms() - older->takeover.fruitless_ms < FRUITLESS_MS)
        return 0;
    if (parking_park(older) < 0) {
        /* Then the newcomer has the tunnel, as it is the newest. */
        session_end(older, "superseded");
        return 0;
    }
    return older->takeover.parked = 1;
}

static void tell_idle(session *s, const session *older)
{
    s->takeover.idle = 1;
    relay_log(RELAY_LOG_WARNING,
              "RLY460 tunnel %s: a login from %s does not listen on its address; the session from "
              "%s goes on serving. Such a client asks for no forward, or for another than the "
              "bundle's `ssh -N -F DIR/config relay'",
              s->tunnel, s->peer[0] ? s->peer : "(unknown)",
              older->peer[0] ? older->peer : "(unknown)");
    event_of(s, "idle", "serving", older->peer);
}

/** @return 1 when that wait is over, and forgotten */
static int step(rlyd *d, waiting **at)
{
    waiting *w = *at;
    session *newcomer = session_by_id(d, w->newcomer), *older = session_by_id(d, w->older);

    if (older && older->state == SESSION_PROVED && newcomer && newcomer->state <= SESSION_PROVED &&
        now_ms() < w->until_ms)
        return 0;
    if (older && give_back(older) < 0)
        return 0; /* again at the next tick */
    if (older && older->state == SESSION_PROVED && newcomer && newcomer->state == SESSION_PROVED) {
        /* It may have asked too early, been refused, and stayed all the same. */
        older->takeover.reserved_ms = now_ms() + RESERVED_MS;
        tell_idle(newcomer, older);
    }
    forget(at);
    return 1;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    waiting **at = &d->takeovers->first;

    while (*at)
        if (!step(d, at))
            at = &(*at)->next;
    if (d->takeovers->first)
        timer_arm(d->takeovers->timer, TICK_MS);
}

void takeover_offered(session *s, pid_t asker, const message *login)
{
    session *other, *next;

    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other != s && other->state == SESSION_PROVED && is_silent(other))
            session_end(other, "silent");
    }

    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other == s || other->state != SESSION_PROVED || !other->listeners.count ||
            !other->takeover.reserved_ms)
            continue;
        if (now_ms() < other->takeover.reserved_ms && park(other))
            wait_for(s, other);
        other->takeover.reserved_ms = 0;
    }
}

void takeover_proved(session *s)
{
    session *other, *next;

    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other == s || other->state != SESSION_PROVED)
            continue;
        if (!other->listeners.count)
            listeners_look_at(other);                  /* it may have begun to a moment ago */
        if (other->listeners.count && !s->child_start) /* s is over already */
            other->takeover.reserved_ms = now_ms() + RESERVED_MS;
        else if (other->listeners.count && park(other))
            wait_for(s, other);
    }
    /* These end last: s is the one that waits for a parked session by now, so nothing is given back
     * for them. */
    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other != s && other->state == SESSION_PROVED && !other->listeners.count &&
            !other->takeover.parked)
            session_end(other, "superseded");
    }
}

/** The tunnel goes from one session to another one. */
static void change_hands(session *to, const session *from)
{
    int64_t now = now_ms();

    memmove(to->takeover.won_ms + 1, from->takeover.won_ms,
            sizeof(to->takeover.won_ms) - sizeof(*to->takeover.won_ms));
    to->takeover.won_ms[0] = now;
    to->takeover.contested_ms = from->takeover.contested_ms;
    if (!to->takeover.won_ms[TAKEOVERS_MAX - 1] ||
        now - to->takeover.won_ms[TAKEOVERS_MAX - 1] > CONTESTED_MS ||
        (to->takeover.contested_ms && now - to->takeover.contested_ms < CONTESTED_AGAIN_MS))
        return;
    to->takeover.contested_ms = now;
    relay_log(RELAY_LOG_WARNING,
              "RLY461 tunnel %s: %d times within a minute a new login took it from one that "
              "served; last %s from %s. Does its bundle run in two places? Only one may",
              to->tunnel, TAKEOVERS_MAX, to->peer, from->peer);
    event_of(to, "contested", "from", from->peer);
}

void takeover_identified(session *s)
{
    session *other, *next;

    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other == s || other->state != SESSION_PROVED)
            continue;
        session_end(other->child_start < s->child_start ? other : s, "superseded");
    }
}

void takeover_up(session *s, relay_listen_addr addr)
{
    session *other, *next;

    if (!s->tunnel[0] || s->state != SESSION_PROVED)
        return;
    for (other = session_of_tunnel(s->d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other == s || other->state != SESSION_PROVED ||
            (!other->listeners.count && !other->takeover.parked && !other->takeover.idle))
            continue;
        if (other->takeover.parked || other->listeners.count)
            change_hands(s, other);
        session_end(other, "superseded");
    }
}

void takeover_over(session *s)
{
    waiting **at = &s->d->takeovers->first;

    while (*at) {
        session *older = session_by_id(s->d, (*at)->older);

        if (older == s) {
            forget(at);
            continue;
        }
        if (older && (*at)->newcomer == s->id) {
            /* It may have left because rlyd parked too late for it. The next one shall find the
             * address free. */
            if (s->state == SESSION_PROVED)
                older->takeover.reserved_ms = now_ms() + RESERVED_MS;
            (*at)->newcomer = 0;
            if (step(s->d, at))
                continue;
        }
        at = &(*at)->next;
    }
}

void takeover_stop(rlyd *d)
{
    waiting *w;

    for (w = d->takeovers->first; w; w = w->next) {
        session *older = session_by_id(d, w->older);

        if (older)
            give_back(older);
    }
}

void takeover_init(rlyd *d)
{
    d->takeovers = apr_pcalloc(d->pool, sizeof(*d->takeovers));
    d->takeovers->timer = timer_new(d, on_timer, d);
    parking_recover(d);
}
