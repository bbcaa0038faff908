/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "listeners.h"
#include "find.h"
#include "live.h"
#include "relay_issue.h"
#include "relay_sockdiag.h"
#include "takeover.h"
#include "taken.h"

#include <apr_hash.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Logins are awaited singly and ends are told by the kernel, so dumps are for what nobody
 * announces: forwards that a session asks for or cancels later, and strangers. With thousands of
 * listeners they are further apart, to cost 1/POLL_SHARE. */
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
    int nl;
    apr_hash_t *by_addr, *unknown;
    unsigned dump, owned;
    int settled, first_dump_done, ever_owned;
    struct event *poll, *soon;
    awaited *awaited;
    unsigned nawaited;
    int64_t fault_gate, others_gate;
};

static port *port_at(rlyd *d, relay_listen_addr addr)
{
    uint64_t key = addr_key(addr);

    return apr_hash_get(d->listeners->by_addr, &key, sizeof(key));
}

session *listeners_owner(rlyd *d, relay_listen_addr addr)
{
    port *p = port_at(d, addr);

    return p && p->kind == PORT_OWNED ? p->owner : NULL;
}

int listeners_is_held(const session *s, uint32_t inode)
{
    int i;

    for (i = 0; i < s->naddrs; i++) {
        const port *p = port_at(s->d, s->addrs[i]);

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

static void port_drop(rlyd *d, port *p)
{
    leave_unknown(d, p);
    apr_hash_set(d->listeners->by_addr, &p->key, sizeof(p->key), NULL);
    if (p->kind == PORT_OWNED) {
        session *s = p->owner;

        d->listeners->owned--;
        s->nports--;
        live_down(d, p->addr);
        if (s->nports == 0 && s->announced && s->state != SESSION_ENDING && !s->parked &&
            proc_is_alive(s->child, s->child_start)) {
            live_event(d, "down", s, "why", "it stopped listening");
            s->announced = 0;
        }
    }
    free(p);
}

void listeners_claim(rlyd *d, port *p, session *s)
{
    char text[32];

    leave_unknown(d, p);
    if (p->kind != PORT_OWNED)
        d->listeners->owned++;
    d->listeners->ever_owned = 1;
    p->kind = PORT_OWNED;
    p->owner = s;
    s->nports++;
    s->port = p->addr;
    live_up(d, p->addr, s);
    takeover_listens(s);
    if (s->tunnel[0] && !s->announced) {
        s->announced = 1;
        live_event(d, "up", s, "listen", relay_listen_addr_format(p->addr, text, sizeof(text)));
        relay_log(RELAY_LOG_INFO, "RLY412 tunnel %s: up on %s; peer %s, way in %s", s->tunnel, text,
                  s->peer, session_way_name(s->way));
    }
}

void listeners_disown(rlyd *d, port *p)
{
    char text[32];

    leave_unknown(d, p);
    p->kind = PORT_FOREIGN;
    if (gate_open(&d->listeners->others_gate, 3600000))
        relay_log(RELAY_LOG_NOTICE,
                  "RLY445 the session on %s is left alone: it belongs to another rlyd, or to an "
                  "sshd whose -f "
                  "is not [rlyd] sshd-config; the [relay] listen of two relays on one host must "
                  "not overlap",
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
    live_foreign(d, text, p->uid);
}

static void port_resolve(rlyd *d, port *p)
{
    session *s = session_expecting(d, p->addr);

    if (s && p->uid == s->uid && proc_holds_socket(s->child, p->inode)) {
        listeners_claim(d, p, s);
        return;
    }
    p->kind = PORT_UNKNOWN;
    apr_hash_set(d->listeners->unknown, &p->inode, sizeof(p->inode), p);
    find_start(d);
}

/** The kernel says that this one listens. */
static void note(rlyd *d, const relay_socket *found)
{
    port *p = port_at(d, found->addr);

    if (p && p->inode == found->inode) {
        p->seen = d->listeners->dump;
        return;
    }
    if (p)
        port_drop(d, p);
    p = must_alloc(sizeof(*p));
    memset(p, 0, sizeof(*p));
    p->addr = found->addr;
    p->key = addr_key(found->addr);
    p->inode = found->inode;
    p->uid = found->uid;
    p->seen = d->listeners->dump;
    p->kind = PORT_FOREIGN; /* until it is resolved */
    apr_hash_set(d->listeners->by_addr, &p->key, sizeof(p->key), p);
    port_resolve(d, p);
}

static void on_socket(void *baton, const relay_socket *found)
{
    if (found->wildcard)
        taken_wildcard(baton, found);
    else
        note(baton, found);
}

/** Calls fn for each port that `which` says; fn may drop the one it is given. */
static void each_port(rlyd *d, void (*fn)(rlyd *d, port *p, void *baton), void *baton)
{
    apr_pool_t *scratch;
    apr_hash_index_t *hi;
    void *value;

    apr_pool_create(&scratch, d->pool);
    for (hi = apr_hash_first(scratch, d->listeners->by_addr); hi; hi = apr_hash_next(hi)) {
        apr_hash_this(hi, NULL, NULL, &value);
        fn(d, value, baton);
    }
    apr_pool_destroy(scratch);
}

static void drop_unseen(rlyd *d, port *p, void *baton)
{
    if (p->seen != d->listeners->dump && !(p->kind == PORT_OWNED && p->owner->parked))
        port_drop(d, p);
}

static void drop_of_session(rlyd *d, port *p, void *s)
{
    if (p->kind == PORT_OWNED && p->owner == s)
        port_drop(d, p);
}

void listeners_session_gone(session *s)
{
    int i, left = s->nports;

    for (i = 0; i < s->naddrs && left; i++) {
        port *p = port_at(s->d, s->addrs[i]);

        if (p && p->kind == PORT_OWNED && p->owner == s) {
            port_drop(s->d, p);
            left--;
        }
    }
    if (left) /* on addresses that its record no longer names */
        each_port(s->d, drop_of_session, s);
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

    each_port(d, visit_kind, &v);
}

void listeners_each_foreign(rlyd *d, void (*fn)(const port *p, void *baton), void *baton)
{
    visit v = {PORT_FOREIGN, fn, baton};

    each_port(d, visit_kind, &v);
}

static void after_search(rlyd *d, port *p, void *baton)
{
    relay_socket found;
    int there;

    if (p->kind != PORT_UNKNOWN || ++p->scans < SEARCHES_UNTIL_FOREIGN)
        return;
    /* Its process may have ended since the dump: then nobody is to be found,
     * and nobody is there. */
    there = relay_sockdiag_find(d->listeners->nl, p->addr, &found);
    if (there == 0 || (there == 1 && found.inode != p->inode))
        port_drop(d, p);
    else
        declare_foreign(d, p);
}

static void settle(rlyd *d)
{
    if (d->listeners->first_dump_done && listeners_unknowns(d) == 0 && !d->listeners->settled) {
        d->listeners->settled = 1;
        live_sync(d);
    }
}

void listeners_searched(rlyd *d)
{
    each_port(d, after_search, NULL);
    settle(d);
    if (listeners_unknowns(d))
        find_start(d);
}

/* ---- polling */

/** Sessions whose exit the kernel does not tell us, for want of a pidfd. */
static void look_after(session *s, void *baton)
{
    if (s->pidfd < 0 && s->state != SESSION_ENDING && !proc_is_alive(s->monitor, s->monitor_start))
        session_gone(s);
}

static void check_in_live(rlyd *d, port *p, void *baton)
{
    if (p->kind == PORT_UNKNOWN || (p->kind == PORT_OWNED && !live_has(p->owner)))
        *(int *)baton = 0;
}

static void dump(rlyd *d)
{
    struct listeners *l = d->listeners;
    int64_t began = now_ms();
    int all = 1;

    l->dump++;
    taken_begin(d);
    if (relay_sockdiag_dump(l->nl, d->cfg->listen, on_socket, d) < 0) {
        if (errno != EAGAIN && gate_open(&l->fault_gate, 60000))
            relay_log(RELAY_LOG_ERR, "RLY442 the kernel's listen table cannot be read: %s",
                      strerror(errno));
        return; /* nothing is known to be gone */
    }
    each_port(d, drop_unseen, NULL);
    l->first_dump_done = 1;
    taken_end(d);
    settle(d);
    if (relay_issue_space(d->cfg) == RELAY_SPACE_WIDE)
        return;
    each_port(d, check_in_live, &all);
    if (all)
        live_seen(d, began);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    int64_t before = now_ms(), next;

    dump(d);
    if (d->unwatched)
        session_each(d, look_after, NULL);
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
        relay_socket found;

        if (listeners_owner(d, s->addrs[i]) == s)
            continue;
        if (relay_sockdiag_find(d->listeners->nl, s->addrs[i], &found) == 1)
            note(d, &found);
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
            (whole ? s->nports >= s->naddrs : look_up(d, s))) {
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

    taken_warn(s);
    a->id = s->id;
    a->until_ms = now_ms() + AWAIT_FOR_MS;
    a->next = l->awaited;
    l->awaited = a;
    if (l->nawaited++ == 0)
        timer_arm(l->soon, AWAIT_EVERY_MS / 4);
}

void listeners_init(rlyd *d)
{
    struct listeners *l = d->listeners = apr_pcalloc(d->pool, sizeof(*l));

    l->by_addr = apr_hash_make(d->pool);
    l->unknown = apr_hash_make(d->pool);
    l->poll = timer_new(d, on_poll, d);
    l->soon = timer_new(d, on_soon, d);
    l->nl = relay_sockdiag_open();
    if (l->nl < 0)
        relay_log(RELAY_LOG_ERR, "RLY442 the kernel's listen table cannot be read: %s",
                  strerror(errno));
    timer_arm(l->poll, 0);
}

void listeners_reload(rlyd *d)
{
    timer_arm(d->listeners->poll, 0);
}
