/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lifetime.h"
#include "rlyd/expire_script.h"
#include "listeners.h"
#include "live.h"
#include "relay_store.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_WAIT_MS 5000
#define SWEEP_EVERY_MS 500
/* Every session is asked about once in so many sweeps: 8 s, with very many sessions up to 64 s. */
#define SWEEP_ROUND_MIN 16
#define SWEEP_ROUND_MAX 128
#define SWEEP_AT_ONCE 25
#define SWEEP_ALL 20         /* so few are asked about each time */
#define EXPIRE_EVERY 2       /* sweeps */
#define MISSING_AGAIN_MS 300 /* a record that is not there is asked for once more before its session ends */
#define LAST_WORD_MS 250     /* at a deadline: how long to wait for word of an extension that was missed */

struct lifetimes {
    redis_link *link, *events;
    struct event *sweep;
    int64_t offset_ms; /* Redis's clock minus ours */
    int offset_known;
    char last_event[48];
    unsigned sweeps;
    int64_t record_gate;
};

redis_link *lifetime_link(rlyd *d)
{
    return d->lifetime->link;
}

int64_t lifetime_redis_ms(const rlyd *d, int64_t at_ms)
{
    return d->lifetime->offset_known ? at_ms + d->lifetime->offset_ms : 0;
}

static const char *key(rlyd *d, const char *kind, const char *id, char *buf, size_t size)
{
    apr_snprintf(buf, size, "%s%s%s", d->cfg->prefix, kind, id);
    return buf;
}

/* ---- Redis's clock */

static void on_time(rlyd *d, redisReply *r, uint64_t id)
{
    (void)id;
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 2)
        return;
    d->lifetime->offset_ms = apr_atoi64(r->element[0]->str) * 1000 + apr_atoi64(r->element[1]->str) / 1000 - now_ms();
    d->lifetime->offset_known = 1;
}

static void ask_time(rlyd *d)
{
    redis_call(d->lifetime->link, on_time, 0, "TIME");
}

/* ---- one session's record */

static void report_record(session *s, const char *what)
{
    if (gate_open(&s->d->lifetime->record_gate, 10000))
        relay_log(RELAY_LOG_ERR, "RLY433 record tunnel:%s %s; its session goes on until the end that is known", s->tunnel,
                  what);
}

/** @return how many addresses the record has; -1 if it is malformed */
static int read_addrs(const redisReply *r, relay_listen_addr *addrs)
{
    const char *count = relay_reply_field(r, "routes");
    int i, n = count ? atoi(count) : 0;

    if (n < 1 || n > RELAY_TUNNEL_ROUTES_MAX)
        return -1;
    for (i = 0; i < n; i++) {
        char field[24];
        const char *value;

        apr_snprintf(field, sizeof field, "listen.%d", i);
        value = relay_reply_field(r, field);
        if (!value || relay_listen_addr_parse(&addrs[i], value) != APR_SUCCESS)
            return -1;
    }
    return n;
}

static void record_missing(session *s)
{
    if (++s->missing > 1)
        session_end(s, "its tunnel has no record");
    else
        timer_arm(s->timer, MISSING_AGAIN_MS);
}

/** Judges a session by its tunnel's record. */
static void judge(session *s, const redisReply *r)
{
    relay_listen_addr addrs[RELAY_TUNNEL_ROUTES_MAX];
    const char *state, *expires;
    int n;

    if (r->elements == 0) {
        record_missing(s);
        return;
    }
    s->missing = 0;
    if (relay_reply_version(r, "", NULL, NULL) != APR_SUCCESS) {
        report_record(s, "was written by another version");
        return;
    }
    state = relay_reply_field(r, "state");
    expires = relay_reply_field(r, "expires");
    n = read_addrs(r, addrs);
    if (!state || !expires || apr_atoi64(expires) <= 0 || n < 0) {
        report_record(s, "is malformed");
        return;
    }
    if (strcmp(state, "open") != 0) {
        session_end(s, "closed");
        return;
    }
    session_set_addrs(s, n, addrs);
    session_set_deadline(s, apr_atoi64(expires) - s->d->lifetime->offset_ms);
    if (s->deadline_ms <= now_ms())
        session_end(s, "expired");
}

static void on_record(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);

    if (s && r && r->type == REDIS_REPLY_ARRAY && s->state == SESSION_PROVED && d->lifetime->offset_known)
        judge(s, r);
}

/** Reads the record; the clock has been asked before on the same connection. */
static int ask_record(session *s)
{
    char buf[160];

    return redis_call(s->d->lifetime->link, on_record, s->id, "HGETALL",
                      key(s->d, "tunnel:", s->tunnel, buf, sizeof buf));
}

void lifetime_offered(session *s, int64_t expires_redis_ms)
{
    if (s->d->lifetime->offset_known)
        s->deadline_ms = expires_redis_ms - s->d->lifetime->offset_ms;
}

void lifetime_check(session *s)
{
    if (s->deadline_ms)
        session_set_deadline(s, s->deadline_ms);
    ask_time(s->d);
    ask_record(s);
}

void lifetime_deadline(session *s)
{
    int64_t over = s->deadline_ms ? now_ms() - s->deadline_ms : -1;

    if (!s->tunnel[0]) {
        lifetime_identify(s);
        return;
    }
    if (over < 0) { /* another look was wanted: record_missing() */
        if (s->deadline_ms)
            timer_arm(s->timer, -over);
        ask_time(s->d);
        ask_record(s);
        return;
    }
    /* The clock's tick and an extension on its way: the record has the last word, if it comes quickly. */
    if (over < LAST_WORD_MS) {
        timer_arm(s->timer, LAST_WORD_MS - over + 1);
        ask_time(s->d);
        if (ask_record(s) == 0)
            return;
    }
    session_end(s, "expired");
}

/* ---- whose is a found session */

static void unidentified(session *s)
{
    session_end(s, "no tunnel has its address");
}

/** The tunnel that holds the address now: is it the one that the session began with? */
static void on_candidate(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    relay_listen_addr addrs[RELAY_TUNNEL_ROUTES_MAX];
    const char *tunnel, *created, *fingerprint;
    int64_t age;
    int n;

    if (!s || !r || r->type != REDIS_REPLY_ARRAY || s->tunnel[0] || s->state != SESSION_PROVED ||
        !d->lifetime->offset_known)
        return;
    tunnel = relay_reply_field(r, "id");
    created = relay_reply_field(r, "created");
    fingerprint = relay_reply_field(r, "key");
    n = r->elements ? read_addrs(r, addrs) : -1;
    if (!tunnel || !created || !fingerprint || n < 0 || strlen(tunnel) >= RLYD_TUNNEL_MAX) {
        unidentified(s);
        return;
    }
    /* Where addresses come back, a session that is older than the tunnel is another's. It would be older by the cooldown at
     * least: half of it is left to clocks that were put back. */
    age = lifetime_redis_ms(d, now_ms()) - apr_atoi64(created);
    if (d->cfg->listen->size < RELAY_LISTEN_WIDE &&
        proc_age_ms(s->child_start) > age + apr_time_as_msec(d->cfg->cooldown) / 2) {
        unidentified(s);
        return;
    }
    session_identify(s, tunnel, fingerprint, n, addrs);
    if (s->state != SESSION_PROVED)
        return;
    live_identified(d, s);
    judge(s, r);
}

static void on_slot(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    char buf[160];

    if (!s || !r || s->tunnel[0] || s->state != SESSION_PROVED)
        return;
    if (r->type != REDIS_REPLY_STRING || strlen(r->str) >= RLYD_TUNNEL_MAX) {
        unidentified(s);
        return;
    }
    ask_time(d);
    redis_call(d->lifetime->link, on_candidate, id, "HGETALL", key(d, "tunnel:", r->str, buf, sizeof buf));
}

/** Asked once its listener is known; and again and again while Redis is away. */
void lifetime_identify(session *s)
{
    char buf[200], addr[RELAY_LISTEN_ADDR_SIZE];

    timer_arm(s->timer, s->nports ? 1000 : 1);
    if (!s->nports)
        return;
    apr_snprintf(buf, sizeof buf, "%sslot:%s:%s", s->d->cfg->prefix, s->d->cfg->name,
                 relay_listen_addr_format(s->port, addr, sizeof addr));
    redis_call(s->d->lifetime->link, on_slot, s->id, "GET", buf);
}

/* ---- events */

static void check_tunnel(rlyd *d, const char *tunnel)
{
    session *s, *next;

    for (s = session_of_tunnel(d, tunnel); s; s = next) {
        next = s->next_of_tunnel;
        if (s->state == SESSION_PROVED)
            ask_record(s);
    }
}

static const char *field_of(const redisReply *fields, const char *name)
{
    return fields->type == REDIS_REPLY_ARRAY ? relay_reply_field(fields, name) : NULL;
}

static void take_event(rlyd *d, const redisReply *entry)
{
    const char *tunnel, *what;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || entry->element[0]->type != REDIS_REPLY_STRING)
        return;
    apr_cpystrn(d->lifetime->last_event, entry->element[0]->str, sizeof d->lifetime->last_event);
    tunnel = field_of(entry->element[1], "tunnel");
    what = field_of(entry->element[1], "what");
    /* What we and our like write ourselves needs no answer. */
    if (tunnel && what && strcmp(what, "up") != 0 && strcmp(what, "down") != 0)
        check_tunnel(d, tunnel);
}

static void wait_for_events(rlyd *d);

static void on_events(rlyd *d, redisReply *r, uint64_t id)
{
    size_t i;

    (void)id;
    if (!r)
        return; /* the link is broken, or Redis refuses: it is made anew */
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->type == REDIS_REPLY_ARRAY &&
        r->element[0]->elements == 2) {
        const redisReply *entries = r->element[0]->element[1];

        ask_time(d);
        for (i = 0; i < entries->elements; i++)
            take_event(d, entries->element[i]);
    }
    wait_for_events(d);
}

static void wait_for_events(rlyd *d)
{
    char buf[128], wait[16];

    apr_snprintf(wait, sizeof wait, "%d", EVENTS_WAIT_MS);
    redis_call_waiting(d->lifetime->events, EVENTS_WAIT_MS, on_events, 0, "XREAD", "BLOCK", wait, "COUNT", "500",
                       "STREAMS", key(d, "events", "", buf, sizeof buf), d->lifetime->last_event);
}

static void check_one(session *s, void *baton)
{
    (void)baton;
    if (s->state != SESSION_PROVED)
        return;
    if (s->tunnel[0])
        ask_record(s);
    else
        lifetime_identify(s);
}

static void check_all(rlyd *d)
{
    ask_time(d);
    session_each(d, check_one, NULL);
}

static void on_last_event(rlyd *d, redisReply *r, uint64_t id)
{
    (void)id;
    if (!r || r->type != REDIS_REPLY_ARRAY)
        return;
    apr_cpystrn(d->lifetime->last_event, "0-0", sizeof d->lifetime->last_event);
    if (r->elements && r->element[0]->type == REDIS_REPLY_ARRAY && r->element[0]->elements == 2)
        apr_cpystrn(d->lifetime->last_event, r->element[0]->element[0]->str, sizeof d->lifetime->last_event);
    wait_for_events(d);
    check_all(d); /* what happened while nobody listened */
}

/** The stream is followed from its present end, and then everything is looked at once. */
static void on_events_ready(rlyd *d)
{
    char buf[128];

    redis_call(d->lifetime->events, on_last_event, 0, "XREVRANGE", key(d, "events", "", buf, sizeof buf), "+", "-",
               "COUNT", "1");
}

static void on_ready(rlyd *d)
{
    ask_time(d);
    live_ready(d);
    check_all(d);
}

/* ---- the safety net */

/** How many sessions are asked about in one sweep. */
static unsigned sweep_size(unsigned count)
{
    unsigned round = count / SWEEP_AT_ONCE;

    if (count <= SWEEP_ALL)
        return count;
    round = round < SWEEP_ROUND_MIN ? SWEEP_ROUND_MIN : round > SWEEP_ROUND_MAX ? SWEEP_ROUND_MAX : round;
    return (count + round - 1) / round;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct lifetimes *l = d->lifetime;
    char by[96];

    (void)fd;
    (void)what;
    timer_arm(l->sweep, SWEEP_EVERY_MS);
    if (!redis_link_is_ready(l->link))
        return;
    ask_time(d);
    session_turn(d, sweep_size(session_count(d)), check_one, NULL);
    if (l->sweeps++ % EXPIRE_EVERY == 0) {
        apr_snprintf(by, sizeof by, "rlyd@%s", d->cfg->name);
        redis_call(l->link, NULL, 0, "EVAL", rlyd_script_expire, "1", d->cfg->prefix, by);
    }
}

void lifetime_init(rlyd *d)
{
    struct lifetimes *l = d->lifetime = apr_pcalloc(d->pool, sizeof *l);

    l->link = redis_link_open(d, "commands", 1, on_ready);
    l->events = redis_link_open(d, "events", 0, on_events_ready);
    l->sweep = timer_new(d, on_sweep, d);
    timer_arm(l->sweep, SWEEP_EVERY_MS);
}

void lifetime_reload(rlyd *d)
{
    redis_link_restart(d->lifetime->link);
    redis_link_restart(d->lifetime->events);
}
