/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "live.h"
#include "events.h"
#include "ground/loop.h"
#include "ground/reply.h"
#include "ground/store.h"
#include "listeners.h"
#include "relay_duration.h"
#include "relay_issue.h"
#include "relay_keyname.h"
#include "relay_live.h"
#include "rlyd/seen_script.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 200

struct live {
    int in_sync;     /* live: has been put right on this connection */
    int64_t seen_ms; /* what Redis has confirmed of seen:, by its clock; 0: nothing yet */
};

static const char *live_key(rlyd *d, char *buf, size_t size)
{
    return relay_keyname_format(d->cfg, RELAY_KEYNAME_LIVE, d->cfg->name, buf, size);
}

static const char *print_entry(rlyd *d, session *s, char *buf, size_t size)
{
    relay_live entry = {.tunnel = s->tunnel,
                        .pid = (int)s->monitor,
                        .peer = s->peer,
                        .way = session_way_name(s->way)};

    if (!s->live.since_redis_ms)
        s->live.since_redis_ms = store_redis_ms(d, now_ms() - proc_age_ms(s->child_start));
    entry.since_ms = s->live.since_redis_ms;
    return relay_live_print(&entry, buf, size);
}

/** Whether a listener of this session can be written to live: yet. */
static int is_writable(const session *s)
{
    return s->tunnel[0] && !s->live.unread;
}

static void on_seen(rlyd *d, redisReply *r, uint64_t at_redis_ms)
{
    static int64_t gate;
    int64_t lost;
    apr_pool_t *p;

    if (!r)
        return;
    if (reply_number(r, &lost) < 0) {
        redis_odd(store_link(d), &gate, "EVAL");
        return;
    }
    d->live->seen_ms = (int64_t)at_redis_ms;
    if (!lost || relay_issue_space(d->cfg) != RELAY_SPACE_NARROW)
        return;
    apr_pool_create(&p, d->pool);
    relay_log(RELAY_LOG_WARNING,
              "RLY435 Redis has lost what it knew of %s, whose listen space is narrow: no tunnel "
              "is opened here for the cooldown of %s",
              d->cfg->name, relay_duration_print(d->cfg->cooldown, p));
    apr_pool_destroy(p);
}

/** At `at_ms` by our clock all listeners were accounted for, and each one of a session was written
 * to live:. */
static void tell_seen(rlyd *d, int64_t at_ms)
{
    int64_t at_redis_ms = store_redis_ms(d, at_ms), known = d->live->seen_ms;
    char when[32], before[32], cooldown[32];

    if (!d->live->in_sync || !at_redis_ms)
        return;
    /* An rlyd that has met a session knows that Redis once knew its tunnel, even when another rlyd
     * wrote that. */
    if (!known && listeners_were_owned(d))
        known = 1;
    apr_snprintf(when, sizeof(when), "%" APR_INT64_T_FMT, (apr_int64_t)at_redis_ms);
    apr_snprintf(before, sizeof(before), "%" APR_INT64_T_FMT, (apr_int64_t)known);
    apr_snprintf(cooldown, sizeof(cooldown), "%" APR_INT64_T_FMT,
                 apr_time_as_msec(d->cfg->cooldown));
    redis_call(store_link(d), on_seen, (uint64_t)at_redis_ms, "EVAL", rlyd_script_seen, "1",
               d->cfg->prefix, d->cfg->name, when, before, cooldown);
}

static void check(const port *p, void *all)
{
    if (!is_writable(p->owner))
        *(int *)all = 0;
}

void live_looked(rlyd *d)
{
    int all = listeners_unknowns(d) == 0;

    if (relay_issue_space(d->cfg) == RELAY_SPACE_WIDE)
        return;
    listeners_each_owned(d, check, &all);
    if (all)
        tell_seen(d, listeners_looked_ms(d));
}

/* ---- one session */

void live_up(session *s, relay_listen_addr addr)
{
    char name[RELAY_KEYNAME_SIZE], field[32], entry[RELAY_LIVE_SIZE];

    if (is_writable(s))
        redis_call(store_link(s->d), NULL, 0, "HSET", live_key(s->d, name, sizeof(name)),
                   relay_listen_addr_format(addr, field, sizeof(field)),
                   print_entry(s->d, s, entry, sizeof(entry)));
}

void live_announce(session *s, relay_listen_addr addr)
{
    char text[32];

    if (!s->tunnel[0] || s->live.announced)
        return;
    s->live.announced = 1;
    event_of(s, "up", "listen", relay_listen_addr_format(addr, text, sizeof(text)));
    relay_log(RELAY_LOG_INFO, "RLY412 tunnel %s: up on %s; peer %s, way in %s", s->tunnel, text,
              s->peer, session_way_name(s->way));
}

void live_down(session *s, relay_listen_addr addr)
{
    char name[RELAY_KEYNAME_SIZE], field[32];

    redis_call(store_link(s->d), NULL, 0, "HDEL", live_key(s->d, name, sizeof(name)),
               relay_listen_addr_format(addr, field, sizeof(field)));
    if (s->listeners.count == 0 && s->live.announced && s->state != SESSION_ENDING &&
        !s->takeover.parked && proc_is_alive(s->child, s->child_start)) {
        event_of(s, "down", "why", "it stopped listening");
        s->live.announced = 0;
    }
}

void live_gone(session *s)
{
    if (s->live.announced)
        event_of(s, "down", "why", s->why ? s->why : "disconnected");
}

void live_found(session *s)
{
    s->live.unread = 1;
}

/* ---- a session that was there before our start */

/** Takes over what was written of a session before we were restarted. Nobody else knows the way
 * that it came in by.
 * @param text NULL if nothing was written */
static void adopt(session *s, const char *text)
{
    relay_live entry;
    apr_pool_t *p;
    int i;

    if (!text)
        return;
    apr_pool_create(&p, s->d->pool);
    relay_live_parse(&entry, text, p);
    if (entry.pid == s->monitor) {
        s->live.since_redis_ms = entry.since_ms;
        for (i = WAY_DIRECT; entry.way && i <= WAY_LISTENING; i++)
            if (strcmp(entry.way, session_way_name((session_way)i)) == 0)
                session_set_way(s, (session_way)i);
    }
    apr_pool_destroy(p);
}

static void on_entry(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    int i;

    if (!s)
        return;
    adopt(s, reply_text(r));
    s->live.unread = 0;
    for (i = 0; i < s->naddrs; i++)
        if (listeners_owner(d, s->addrs[i]) == s)
            live_up(s, s->addrs[i]);
}

static void ask_before(session *s)
{
    char name[RELAY_KEYNAME_SIZE], field[32];

    redis_call(store_link(s->d), on_entry, s->id, "HGET", live_key(s->d, name, sizeof(name)),
               relay_listen_addr_format(s->listeners.last, field, sizeof(field)));
}

void live_identified(session *s)
{
    if (s->state != SESSION_PROVED)
        return;
    s->live.announced = 1; /* it was up before: no event */
    ask_before(s);
}

/* ---- putting it right */

typedef struct batch {
    rlyd *d;
    int argc;
    const char *argv[2 + 2 * BATCH];
    char key[RELAY_KEYNAME_SIZE];
    char fields[BATCH][32];
    char entries[BATCH][RELAY_LIVE_SIZE];
} batch;

static void batch_flush(batch *b)
{
    if (b->argc > 2)
        redis_send(store_link(b->d), 0, NULL, 0, b->argc, b->argv);
    b->argc = 2;
}

static void batch_add(const port *p, void *baton)
{
    batch *b = baton;
    session *s = p->owner;
    int n = (b->argc - 2) / 2;

    if (!s->tunnel[0])
        return;
    if (s->live.unread) { /* the answer about it was lost */
        ask_before(s);
        return;
    }
    b->argv[b->argc++] = relay_listen_addr_format(p->addr, b->fields[n], sizeof(b->fields[n]));
    b->argv[b->argc++] = print_entry(b->d, s, b->entries[n], sizeof(b->entries[n]));
    if (n + 1 == BATCH)
        batch_flush(b);
}

static void write_all(rlyd *d)
{
    batch *b = must_alloc(sizeof(*b));

    b->d = d;
    b->argv[0] = "HSET";
    b->argv[1] = live_key(d, b->key, sizeof(b->key));
    b->argc = 2;
    listeners_each_owned(d, batch_add, b);
    batch_flush(b);
    free(b);
}

static void on_present(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    char name[RELAY_KEYNAME_SIZE];
    size_t i, n;

    if (!r)
        return;
    if (reply_array(r, &n) < 0) {
        redis_odd(store_link(d), &gate, "HKEYS");
        return;
    }
    live_key(d, name, sizeof(name));
    for (i = 0; i < n; i++) {
        const char *field = reply_element(r, i);
        relay_listen_addr addr;

        if (!field)
            redis_odd(store_link(d), &gate, "HKEYS");
        else if (relay_listen_addr_parse(&addr, field) != APR_SUCCESS || !listeners_owner(d, addr))
            redis_call(store_link(d), NULL, 0, "HDEL", name, field);
    }
    write_all(d);
    redis_call(store_link(d), NULL, 0, "PEXPIRE", name, LIVE_EXPIRES);
    d->live->in_sync = 1;
    listeners_look(d); /* an `rly open` may be waiting for seen: */
}

void live_sync(rlyd *d)
{
    char name[RELAY_KEYNAME_SIZE];

    d->live->in_sync = 0;
    if (listeners_are_settled(d))
        redis_call(store_link(d), on_present, 0, "HKEYS", live_key(d, name, sizeof(name)));
}

/** Compares live: with the listeners. */
static void on_count(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    int64_t n;

    if (r && reply_number(r, &n) < 0)
        redis_odd(store_link(d), &gate, "HLEN");
    else if (r && n != (int64_t)listeners_owned(d))
        live_sync(d);
}

void live_refresh(rlyd *d)
{
    char name[RELAY_KEYNAME_SIZE];

    redis_call(store_link(d), NULL, 0, "PEXPIRE", live_key(d, name, sizeof(name)), LIVE_EXPIRES);
    redis_call(store_link(d), on_count, 0, "HLEN", name);
}

void live_ready(rlyd *d)
{
    /* What was written last may not have arrived, or be lost. It is written at once, as nobody may
     * be given an address that is in use. */
    if (listeners_are_settled(d) && store_redis_ms(d, now_ms()))
        write_all(d);
    live_sync(d);
}

void live_init(rlyd *d)
{
    d->live = apr_pcalloc(d->pool, sizeof(*d->live));
}
