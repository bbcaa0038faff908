/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "listeners.h"
#include "events.h"
#include "ground/loop.h"

#include <apr_hash.h>
#include <stdlib.h>

/* Logins are awaited singly, and the kernel tells of ends. So dumps are for the rest: forwards that
 * a session asks for or cancels later, and strangers' listeners. With thousands of listeners dumps
 * are further apart, to cost 1/POLL_SHARE of the time. */
#define POLL_MS 500
#define POLL_MAX_MS 3000
#define POLL_SHARE 600
#define AWAIT_EVERY_MS 20
#define AWAIT_FOR_MS 15000
/* With more logins than this under way one dump is cheaper than the look-ups. */
#define AWAIT_SINGLY_MAX 200
/* A listener may be seen a moment before its process shows the uid, or while /proc changes under
 * the search. */
#define SEARCHES_UNTIL_FOREIGN 2

typedef struct awaited {
    struct awaited *next;
    uint64_t id;
    int64_t until_ms;
} awaited;

struct listeners {
    const listeners_hooks *hooks;
    apr_hash_t *unknown; /* by inode */
    unsigned owned;
    int settled, first_dump_done, ever_owned;
    int64_t looked_ms;
    struct event *poll, *soon;
    awaited *awaited;
    unsigned nawaited;
    int64_t others_gate;
};

session *listeners_owner(rlyd *d, relay_listen_addr addr)
{
    port *p = ports_at(d, addr);

    return p && p->kind == PORT_OWNED ? p->owner : NULL;
}

int listeners_is_held(const session *s, uint32_t inode)
{
    int i;

    for (i = 0; i < s->naddrs; i++) {
        const port *p = ports_at(s->d, s->addrs[i]);

        if (p && p->kind == PORT_OWNED && p->owner == s && p->inode == inode)
            return 1;
    }
    return 0;
}

unsigned listeners_owned(const rlyd *d)
{
    return d->listeners->owned;
}

unsigned listeners_unknowns(const rlyd *d)
{
    return apr_hash_count(d->listeners->unknown);
}

int listeners_were_owned(const rlyd *d)
{
    return d->listeners->ever_owned;
}

int listeners_are_settled(const rlyd *d)
{
    return d->listeners->settled;
}

port *listeners_unknown(rlyd *d, uint32_t inode)
{
    return apr_hash_get(d->listeners->unknown, &inode, sizeof(inode));
}

static void leave_unknown(rlyd *d, port *p)
{
    if (p->kind == PORT_UNKNOWN)
        apr_hash_set(d->listeners->unknown, &p->inode, sizeof(p->inode), NULL);
}

/* ---- ports */

static void on_gone(rlyd *d, port *p)
{
    session *s = p->owner;

    leave_unknown(d, p);
    if (p->kind != PORT_OWNED)
        return;
    d->listeners->owned--;
    s->listeners.count--;
    session_down(s, p->addr);
}

void listeners_claim(rlyd *d, port *p, session *s)
{
    leave_unknown(d, p);
    if (p->kind != PORT_OWNED)
        d->listeners->owned++;
    d->listeners->ever_owned = 1;
    p->kind = PORT_OWNED;
    p->owner = s;
    s->listeners.count++;
    s->listeners.last = p->addr;
    session_up(s, p->addr);
}

void listeners_disown(rlyd *d, port *p)
{
    char text[32];

    leave_unknown(d, p);
    p->kind = PORT_FOREIGN;
    if (gate_open(&d->listeners->others_gate, 3600000))
        relay_log(RELAY_LOG_NOTICE,
                  "RLY445 the session on %s is left alone: it belongs to another rlyd, or to an "
                  "sshd whose -f is not [rlyd] sshd-config; the [relay] listen of two relays on "
                  "one host must not overlap",
                  relay_listen_addr_format(p->addr, text, sizeof(text)));
}

static void declare_foreign(rlyd *d, port *p)
{
    char text[32];

    leave_unknown(d, p);
    p->kind = PORT_FOREIGN;
    relay_listen_addr_format(p->addr, text, sizeof(text));
    relay_log(
        RELAY_LOG_WARNING,
        "RLY440 %s is held by a process of uid %d that is no session of ours: a tunnel of that "
        "address cannot come up",
        text, (int)p->uid);
    event_foreign(d, text, p->uid);
}

static void on_appeared(rlyd *d, port *p)
{
    session *s = session_expecting(d, p->addr);

    if (s && p->uid == s->uid && proc_holds_socket(s->child, p->inode)) {
        listeners_claim(d, p, s);
        return;
    }
    p->kind = PORT_UNKNOWN;
    apr_hash_set(d->listeners->unknown, &p->inode, sizeof(p->inode), p);
    rlyd_tell(d, d->listeners->hooks->unknown);
}

static void on_wildcard(rlyd *d, const relay_socket *found)
{
    d->listeners->hooks->wildcard(d, found);
}

/** The session that holds it, or NULL. */
static session *owner_of(const port *p)
{
    return p->kind == PORT_OWNED ? p->owner : NULL;
}

static void drop_unseen(rlyd *d, port *p, void *baton)
{
    const session *s = owner_of(p);

    if (!ports_is_seen(d, p) && !(s && s->takeover.parked))
        ports_drop(d, p);
}

static void drop_of_session(rlyd *d, port *p, void *s)
{
    if (p->kind == PORT_OWNED && p->owner == s)
        ports_drop(d, p);
}

void listeners_gone(session *s)
{
    int i, left = s->listeners.count;

    for (i = 0; i < s->naddrs && left; i++) {
        port *p = ports_at(s->d, s->addrs[i]);

        if (p && p->kind == PORT_OWNED && p->owner == s) {
            ports_drop(s->d, p);
            left--;
        }
    }
    if (left) /* the others are on addresses that its record no longer names */
        ports_each(s->d, drop_of_session, s);
}

typedef struct visit {
    port_kind kind;
    void (*fn)(const port *p, void *baton);
    void *baton;
} visit;

static void visit_kind(rlyd *d, port *p, void *baton)
{
    visit *v = baton;

    if (p->kind == v->kind)
        v->fn(p, v->baton);
}

void listeners_each_owned(rlyd *d, void (*fn)(const port *p, void *baton), void *baton)
{
    visit v = {PORT_OWNED, fn, baton};

    ports_each(d, visit_kind, &v);
}

void listeners_each_foreign(rlyd *d, void (*fn)(const port *p, void *baton), void *baton)
{
    visit v = {PORT_FOREIGN, fn, baton};

    ports_each(d, visit_kind, &v);
}

static void after_search(rlyd *d, port *p, void *baton)
{
    if (p->kind != PORT_UNKNOWN || ++p->searches < SEARCHES_UNTIL_FOREIGN)
        return;
    /* Its process may have ended since the dump: then nobody holds it any more. */
    if (ports_has_gone(d, p))
        ports_drop(d, p);
    else
        declare_foreign(d, p);
}

static void settle(rlyd *d)
{
    if (d->listeners->first_dump_done && listeners_unknowns(d) == 0 && !d->listeners->settled) {
        d->listeners->settled = 1;
        rlyd_tell(d, d->listeners->hooks->settled);
    }
}

void listeners_searched(rlyd *d)
{
    ports_each(d, after_search, NULL);
    settle(d);
    if (listeners_unknowns(d))
        rlyd_tell(d, d->listeners->hooks->unknown);
}

/* ---- polling */

static void dump(rlyd *d)
{
    struct listeners *l = d->listeners;

    l->looked_ms = now_ms();
    rlyd_tell(d, l->hooks->looking);
    if (ports_dump(d) < 0)
        return; /* nothing is known to be gone */
    ports_each(d, drop_unseen, NULL);
    l->first_dump_done = 1;
    settle(d);
    rlyd_tell(d, l->hooks->looked);
}

int64_t listeners_looked_ms(const rlyd *d)
{
    return d->listeners->looked_ms;
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    int64_t before = now_ms(), next;

    dump(d);
    session_poll(d);
    next = (now_ms() - before) * POLL_SHARE;
    timer_arm(d->listeners->poll, next < POLL_MS       ? POLL_MS
                                  : next > POLL_MAX_MS ? POLL_MAX_MS
                                                       : next);
}

void listeners_look(rlyd *d)
{
    timer_arm(d->listeners->poll, 0);
}

/** @return 1 when all of its addresses are up */
static int look_up(rlyd *d, session *s)
{
    int i, up = 1;

    for (i = 0; i < s->naddrs; i++) {
        if (listeners_owner(d, s->addrs[i]) == s)
            continue;
        ports_look_up(d, s->addrs[i]);
        up &= listeners_owner(d, s->addrs[i]) == s;
    }
    return up;
}

void listeners_look_at(session *s)
{
    look_up(s->d, s);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct listeners *l = d->listeners;
    awaited **at, *a;
    int64_t now = now_ms();
    int whole = l->nawaited > AWAIT_SINGLY_MAX;

    if (whole)
        dump(d);
    for (at = &l->awaited; (a = *at);) {
        session *s = session_by_id(d, a->id);

        if (!s || s->state != SESSION_PROVED || now > a->until_ms ||
            (whole ? s->listeners.count >= s->naddrs : look_up(d, s))) {
            *at = a->next;
            l->nawaited--;
            free(a);
        }
        else {
            at = &a->next;
        }
    }
    if (l->awaited)
        timer_arm(l->soon, whole ? 4 * AWAIT_EVERY_MS : AWAIT_EVERY_MS);
}

void listeners_await(session *s)
{
    struct listeners *l = s->d->listeners;
    awaited *a = must_alloc(sizeof(*a));

    a->id = s->id;
    a->until_ms = now_ms() + AWAIT_FOR_MS;
    a->next = l->awaited;
    l->awaited = a;
    if (l->nawaited++ == 0)
        timer_arm(l->soon, AWAIT_EVERY_MS / 4);
}

void listeners_init(rlyd *d, const listeners_hooks *hooks)
{
    static const ports_hooks of_ports = {
        .appeared = on_appeared, .gone = on_gone, .wildcard = on_wildcard};
    struct listeners *l = d->listeners = apr_pcalloc(d->pool, sizeof(*l));

    l->hooks = hooks;
    l->unknown = apr_hash_make(d->pool);
    l->poll = timer_new(d, on_poll, d);
    l->soon = timer_new(d, on_soon, d);
    ports_init(d, &of_ports);
    timer_arm(l->poll, 0);
}
