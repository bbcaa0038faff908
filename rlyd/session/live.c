/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"

#include "live.h"
#include "ground/eviction.h"
#include "lifetime.h"
#include "listeners.h"
#include "relay_duration.h"
#include "relay_event.h"
#include "relay_hostkeys.h"
#include "relay_issue.h"
#include "relay_keyname.h"
#include "relay_live.h"
#include "ground/reply.h"
#include "rlyd/seen_script.h"
#include "taken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define HEARTBEAT_MS 15000
#define LIVES "60000" /* ms: four heartbeats */
#define BATCH 200

struct live {
    struct event *heartbeat;
    int in_sync;     /* live: has been put right on this connection */
    int64_t seen_ms; /* what Redis has confirmed of seen:, by its clock; 0: nothing yet */
    int64_t hostkeys_gate;
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

    if (!s->since_redis_ms)
        s->since_redis_ms = lifetime_redis_ms(d, now_ms() - proc_age_ms(s->child_start));
    entry.since_ms = s->since_redis_ms;
    return relay_live_print(&entry, buf, size);
}

int live_has(const session *s)
{
    return s->tunnel[0] && s->described;
}

static void on_seen(rlyd *d, redisReply *r, uint64_t at_redis_ms)
{
    static int64_t gate;
    int64_t lost;
    apr_pool_t *p;

    if (!r)
        return;
    if (reply_number(r, &lost) < 0) {
        redis_odd(lifetime_link(d), &gate, "EVAL");
        return;
    }
    d->live->seen_ms = (int64_t)at_redis_ms;
    if (!lost || relay_issue_space(d->cfg) != RELAY_SPACE_NARROW)
        return;
    apr_pool_create(&p, d->pool);
    relay_log(RELAY_LOG_WARNING,
              "RLY435 Redis has lost what it knew of %s, whose listen space is narrow: no tunnel "
              "is opened "
              "here for the cooldown of %s",
              d->cfg->name, relay_duration_print(d->cfg->cooldown, p));
    apr_pool_destroy(p);
}

void live_seen(rlyd *d, int64_t at_ms)
{
    int64_t at_redis_ms = lifetime_redis_ms(d, at_ms), known = d->live->seen_ms;
    char when[32], before[32], cooldown[32];

    if (!d->live->in_sync || !at_redis_ms)
        return;
    /* Whoever has met a session knows that Redis once knew of its tunnel, even when it was another
     * rlyd that said so. */
    if (!known && listeners_were_owned(d))
        known = 1;
    apr_snprintf(when, sizeof(when), "%" APR_INT64_T_FMT, (apr_int64_t)at_redis_ms);
    apr_snprintf(before, sizeof(before), "%" APR_INT64_T_FMT, (apr_int64_t)known);
    apr_snprintf(cooldown, sizeof(cooldown), "%" APR_INT64_T_FMT,
                 apr_time_as_msec(d->cfg->cooldown));
    redis_call(lifetime_link(d), on_seen, (uint64_t)at_redis_ms, "EVAL", rlyd_script_seen, "1",
               d->cfg->prefix, d->cfg->name, when, before, cooldown);
}

void live_up(rlyd *d, relay_listen_addr addr, session *s)
{
    char name[RELAY_KEYNAME_SIZE], field[32], entry[RELAY_LIVE_SIZE];

    if (live_has(s))
        redis_call(lifetime_link(d), NULL, 0, "HSET", live_key(d, name, sizeof(name)),
                   relay_listen_addr_format(addr, field, sizeof(field)),
                   print_entry(d, s, entry, sizeof(entry)));
}

void live_down(rlyd *d, relay_listen_addr addr)
{
    char name[RELAY_KEYNAME_SIZE], field[32];

    redis_call(lifetime_link(d), NULL, 0, "HDEL", live_key(d, name, sizeof(name)),
               relay_listen_addr_format(addr, field, sizeof(field)));
}

/** @param more as relay_event_command() takes it */
static void append_event(rlyd *d, const char *what, const char *tunnel, const char *const *more)
{
    const char *argv[RELAY_EVENT_ARGV_MAX];
    char key[RELAY_KEYNAME_SIZE], by[96];
    relay_event event = {what, tunnel, d->cfg->name, by};
    int argc;

    apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
    relay_keyname_format(d->cfg, RELAY_KEYNAME_EVENTS, "", key, sizeof(key));
    argc = relay_event_command(argv, key, &event, more);
    redis_send(lifetime_link(d), 0, NULL, 0, argc, argv);
}

void live_event(rlyd *d, const char *what, const session *s, const char *field, const char *value)
{
    if (s->tunnel[0])
        append_event(d, what, s->tunnel,
                     (const char *const[]){"peer", s->peer[0] ? s->peer : "?", "way",
                                           session_way_name(s->way), field, value, NULL});
}

void live_foreign(rlyd *d, const char *listen, uid_t uid)
{
    char who[16];

    apr_snprintf(who, sizeof(who), "%d", (int)uid);
    append_event(d, "foreign", "", (const char *const[]){"listen", listen, "uid", who, NULL});
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
        redis_send(lifetime_link(b->d), 0, NULL, 0, b->argc, b->argv);
    b->argc = 2;
}

static void batch_add(const port *p, void *baton)
{
    batch *b = baton;
    int n = (b->argc - 2) / 2;

    if (!p->owner->tunnel[0])
        return;
    if (!p->owner->described) { /* the answer about it was lost */
        live_identified(b->d, p->owner);
        return;
    }
    b->argv[b->argc++] = relay_listen_addr_format(p->addr, b->fields[n], sizeof(b->fields[n]));
    b->argv[b->argc++] = print_entry(b->d, p->owner, b->entries[n], sizeof(b->entries[n]));
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
        redis_odd(lifetime_link(d), &gate, "HKEYS");
        return;
    }
    live_key(d, name, sizeof(name));
    for (i = 0; i < n; i++) {
        const char *field = reply_element(r, i);
        relay_listen_addr addr;

        if (!field)
            redis_odd(lifetime_link(d), &gate, "HKEYS");
        else if (relay_listen_addr_parse(&addr, field) != APR_SUCCESS || !listeners_owner(d, addr))
            redis_call(lifetime_link(d), NULL, 0, "HDEL", name, field);
    }
    write_all(d);
    redis_call(lifetime_link(d), NULL, 0, "PEXPIRE", name, LIVES);
    d->live->in_sync = 1;
    listeners_look(d); /* who opens a tunnel may be waiting for seen: */
}

void live_sync(rlyd *d)
{
    char name[RELAY_KEYNAME_SIZE];

    d->live->in_sync = 0;
    if (listeners_are_settled(d))
        redis_call(lifetime_link(d), on_present, 0, "HKEYS", live_key(d, name, sizeof(name)));
}

/** What was written of a session before we were restarted: the way it came in is known to nobody
 * else.
 * @param text NULL if nothing was */
static void adopt(rlyd *d, session *s, const char *text)
{
    relay_live entry;
    apr_pool_t *p;
    int i;

    if (!text)
        return;
    apr_pool_create(&p, d->pool);
    relay_live_parse(&entry, text, p);
    if (entry.pid == s->monitor) {
        s->since_redis_ms = entry.since_ms;
        for (i = WAY_DIRECT; entry.way && i <= WAY_LISTENING; i++)
            if (strcmp(entry.way, session_way_name((session_way)i)) == 0)
                s->way = (session_way)i;
    }
    apr_pool_destroy(p);
}

static void on_entry(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    int i;

    if (!s)
        return;
    adopt(d, s, reply_text(r));
    s->described = 1;
    for (i = 0; i < s->naddrs; i++)
        if (listeners_owner(d, s->addrs[i]) == s)
            live_up(d, s->addrs[i], s);
}

void live_identified(rlyd *d, session *s)
{
    char name[RELAY_KEYNAME_SIZE], field[32];

    s->announced = 1; /* it was up before: no event */
    redis_call(lifetime_link(d), on_entry, s->id, "HGET", live_key(d, name, sizeof(name)),
               relay_listen_addr_format(s->port, field, sizeof(field)));
}

/* ---- heartbeat */

static const char *hostkeys(rlyd *d, apr_pool_t *p)
{
    apr_array_header_t *lines;
    const char *why = NULL;

    if (relay_hostkeys_read(&lines, d->cfg, p, &why) == APR_SUCCESS)
        return apr_array_pstrcat(p, lines, '\n');
    if (gate_open(&d->live->hostkeys_gate, 3600000))
        relay_log(RELAY_LOG_WARNING, "RLY434 %s", why ? why : "no host keys to publish");
    return "";
}

static void on_count(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    int64_t n;

    if (r && reply_number(r, &n) < 0)
        redis_odd(lifetime_link(d), &gate, "HLEN");
    else if (r && n != (int64_t)listeners_owned(d))
        live_sync(d);
}

static void beat(rlyd *d)
{
    char name[RELAY_KEYNAME_SIZE], ssh[300], load[32] = "0", sessions[16], live[RELAY_KEYNAME_SIZE];
    double average;
    struct utsname host;
    apr_pool_t *p;

    if (!redis_link_is_ready(lifetime_link(d)))
        return;
    apr_pool_create(&p, d->pool);
    uname(&host);
    if (getloadavg(&average, 1) == 1)
        apr_snprintf(load, sizeof(load), "%.2f", average);
    relay_keyname_format(d->cfg, RELAY_KEYNAME_RELAY, d->cfg->name, name, sizeof(name));
    apr_snprintf(ssh, sizeof(ssh), "%s:%d", d->cfg->ssh_host, d->cfg->ssh_port);
    apr_snprintf(sessions, sizeof(sessions), "%u", session_count(d));
    redis_call(lifetime_link(d), NULL, 0, "HSET", name, "v", APR_STRINGIFY(RELAY_RECORD_VERSION),
               "ssh", ssh, "hostkeys", hostkeys(d, p), "load", load, "sessions", sessions,
               "versions",
               apr_psprintf(p, "rlyd %s, %s %s", PACKAGE_VERSION, host.sysname, host.release));
    redis_call(lifetime_link(d), NULL, 0, "PEXPIRE", name, LIVES);
    redis_call(lifetime_link(d), NULL, 0, "PEXPIRE", live_key(d, live, sizeof(live)), LIVES);
    redis_call(lifetime_link(d), on_count, 0, "HLEN", live);
    taken_tell(d);
    eviction_check(d);
    apr_pool_destroy(p);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    beat(d);
    timer_arm(d->live->heartbeat, HEARTBEAT_MS);
}

void live_ready(rlyd *d)
{
    /* What was written last may not have arrived, or be lost. At once, as nobody may be given an
     * address that is in use. */
    if (listeners_are_settled(d) && lifetime_redis_ms(d, now_ms()))
        write_all(d);
    live_sync(d);
    timer_arm(d->live->heartbeat, 0);
}

void live_init(rlyd *d)
{
    d->live = apr_pcalloc(d->pool, sizeof(*d->live));
    d->live->heartbeat = timer_new(d, on_heartbeat, d);
}
