/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lifetime.h"
#include "rlyd/expire_script.h"
#include "listeners.h"
#include "live.h"
#include "ground/reply.h"
#include "relay_issue.h"
#include "relay_keyname.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_WAIT_MS 5000
#define SWEEP_EVERY_MS 500
/* Every session is asked about once in so many sweeps: 8 s, with very many sessions up to 64 s. */
#define SWEEP_ROUND_MIN 16
#define SWEEP_ROUND_MAX 128
#define SWEEP_AT_ONCE 25
#define SWEEP_ALL 20   /* so few are asked about each time */
#define EXPIRE_EVERY 2 /* sweeps */
#define MISSING_AGAIN_MS \
    300 /* a record that is not there is asked for once more before its session ends */
#define LAST_WORD_MS \
    250 /* at a deadline: how long to wait for word of an extension that was missed */
#define EVENTS_AGAIN_MS \
    500 /* after an answer that is none, or one that came without waiting and says nothing */

struct lifetimes {
    redis_link *link, *events;
    struct event *sweep, *again;
    int64_t asked_ms;  /* when XREAD was sent last */
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

/* ---- Redis's clock */

static void on_time(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    int64_t ms;

    if (!r)
        return;
    if (reply_time(r, &ms) < 0) {
        redis_odd(d->lifetime->link, &gate, "TIME");
        return;
    }
    d->lifetime->offset_ms = ms - now_ms();
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
        relay_log(RELAY_LOG_ERR,
                  "RLY433 record tunnel:%s %s; its session goes on until the end that is known",
                  s->tunnel[0] ? s->tunnel : "(of a session that was found)", what);
}

static void record_missing(session *s)
{
    if (++s->missing > 1)
        session_end(s, "its tunnel has no record");
    else
        timer_arm(s->timer, MISSING_AGAIN_MS);
}

/** Judges a session by its tunnel's record. */
static void judge(session *s, record_state state, const reply_record *record)
{
    static int64_t gate;

    if (state != RECORD_MISSING && state != RECORD_NONE)
        s->missing = 0;
    switch (state) {
    case RECORD_NONE:
        redis_odd(s->d->lifetime->link, &gate, "HGETALL");
        break;
    case RECORD_MISSING:
        record_missing(s);
        break;
    case RECORD_NEWER:
        report_record(s, "was written by another version");
        break;
    case RECORD_MALFORMED:
        report_record(s, "is malformed");
        break;
    case RECORD_CLOSED:
        session_end(s, "closed");
        break;
    case RECORD_OPEN:
        session_set_addrs(s, record->naddrs, record->addrs);
        session_set_deadline(s, record->expires_ms - s->d->lifetime->offset_ms);
        if (s->deadline_ms <= now_ms())
            session_end(s, "expired");
        break;
    }
}

static void on_record(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    reply_record record;

    if (s && r && s->state == SESSION_PROVED && d->lifetime->offset_known)
        judge(s, reply_tunnel(r, &record), &record);
}

/** Reads the record; the clock has been asked before on the same connection. */
static int ask_record(session *s)
{
    char key[RELAY_KEYNAME_SIZE];

    return redis_call(s->d->lifetime->link, on_record, s->id, "HGETALL",
                      relay_keyname_format(s->d->cfg, RELAY_KEYNAME_TUNNEL, s->tunnel, key,
                                           sizeof(key)));
}

void lifetime_offered(session *s, int64_t expires_redis_ms)
{
    if (s->d->lifetime->offset_known)
        s->deadline_ms = expires_redis_ms - s->d->lifetime->offset_ms;
}

void lifetime_check(session *s)
{
    /* Redis has just granted it by its own clock. One that seems to be long over means that the
     * clock was put back since we asked for it: the record has the last word, see below. */
    if (s->deadline_ms)
        session_set_deadline(s, s->deadline_ms > now_ms() ? s->deadline_ms : now_ms());
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
    /* The clock's tick and an extension on its way: the record has the last word, if it comes
     * quickly. */
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
    static int64_t gate;
    session *s = session_by_id(d, id);
    reply_record record;
    record_state state;
    int64_t age;

    if (!s || !r || s->tunnel[0] || s->state != SESSION_PROVED || !d->lifetime->offset_known)
        return;
    state = reply_tunnel(r, &record);
    if (state == RECORD_NONE) {
        redis_odd(d->lifetime->link, &gate, "HGETALL");
        return;
    }
    if (state == RECORD_MISSING) {
        unidentified(s);
        return;
    }
    if (!record.id || !record.created_ms || !record.fingerprint || record.naddrs < 0) {
        report_record(s,
                      "is malformed"); /* it is asked for again, as long as the session listens */
        return;
    }
    /* Where addresses come back, a session that is older than the tunnel is another's. It would be
     * older by the cooldown at least: half of it is left to clocks that were put back. */
    age = lifetime_redis_ms(d, now_ms()) - record.created_ms;
    if (relay_issue_space(d->cfg) != RELAY_SPACE_WIDE &&
        proc_age_ms(s->child_start) > age + apr_time_as_msec(d->cfg->cooldown) / 2) {
        unidentified(s);
        return;
    }
    session_identify(s, record.id, record.fingerprint, record.naddrs, record.addrs);
    if (s->state != SESSION_PROVED)
        return;
    live_identified(d, s);
    judge(s, state, &record);
}

static void on_slot(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    session *s = session_by_id(d, id);
    const char *tunnel;
    char key[RELAY_KEYNAME_SIZE];

    if (!s || !r || s->tunnel[0] || s->state != SESSION_PROVED)
        return;
    if (r->type != REDIS_REPLY_NIL && r->type != REDIS_REPLY_STRING) {
        redis_odd(d->lifetime->link, &gate, "GET");
        return;
    }
    if (!(tunnel = reply_tunnel_id(r))) {
        unidentified(s);
        return;
    }
    ask_time(d);
    redis_call(d->lifetime->link, on_candidate, id, "HGETALL",
               relay_keyname_format(d->cfg, RELAY_KEYNAME_TUNNEL, tunnel, key, sizeof(key)));
}

/** Asked once its listener is known; and again and again while Redis is away. */
void lifetime_identify(session *s)
{
    char key[RELAY_KEYNAME_SIZE];

    timer_arm(s->timer, s->nports ? 1000 : 1);
    if (!s->nports)
        return;
    redis_call(s->d->lifetime->link, on_slot, s->id, "GET",
               relay_keyname_slot(s->d->cfg, s->port, key, sizeof(key)));
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

static void take_event(rlyd *d, const reply_event *event)
{
    apr_cpystrn(d->lifetime->last_event, event->id, sizeof(d->lifetime->last_event));
    /* What we and our like write ourselves needs no answer. */
    if (event->tunnel && event->what && strcmp(event->what, "up") != 0 &&
        strcmp(event->what, "down") != 0)
        check_tunnel(d, event->tunnel);
}

/** @return whether that brought us forward: else we would be told the same at once, for ever */
static int take_events(rlyd *d, const redisReply *entries)
{
    char before[sizeof(d->lifetime->last_event)];
    reply_event event;
    size_t i, n;

    if (reply_entries(entries, &n) < 0)
        return 0;
    memcpy(before, d->lifetime->last_event, sizeof(before));
    ask_time(d);
    for (i = 0; i < n; i++)
        if (reply_entry(entries, i, &event) == 0)
            take_event(d, &event);
    return strcmp(before, d->lifetime->last_event) != 0;
}

static void wait_for_events(rlyd *d);

static void on_events(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    struct lifetimes *l = d->lifetime;

    if (r && r->type == REDIS_REPLY_NIL && now_ms() - l->asked_ms >= EVENTS_AGAIN_MS) {
        wait_for_events(d);
        return;
    }
    if (r && take_events(d, reply_stream(r))) {
        wait_for_events(d);
        return;
    }
    if (r && r->type != REDIS_REPLY_NIL)
        redis_odd(l->events, &gate, "XREAD");
    /* When the link is broken it is made anew, and begins again by itself. */
    timer_arm(l->again, EVENTS_AGAIN_MS);
}

static void wait_for_events(rlyd *d)
{
    char key[RELAY_KEYNAME_SIZE], wait[16];

    apr_snprintf(wait, sizeof(wait), "%d", EVENTS_WAIT_MS);
    d->lifetime->asked_ms = now_ms();
    evtimer_del(d->lifetime->again);
    redis_call_waiting(d->lifetime->events, EVENTS_WAIT_MS, on_events, 0, "XREAD", "BLOCK", wait,
                       "COUNT", "500", "STREAMS",
                       relay_keyname_format(d->cfg, RELAY_KEYNAME_EVENTS, "", key, sizeof(key)),
                       d->lifetime->last_event);
}

static void check_one(session *s, void *baton)
{
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
    static int64_t gate;
    struct lifetimes *l = d->lifetime;
    reply_event last = {.id = "0-0"};
    size_t n;

    if (!r || reply_entries(r, &n) < 0 || (n && reply_entry(r, 0, &last) < 0)) {
        if (r)
            redis_odd(l->events, &gate, "XREVRANGE");
        timer_arm(l->again, EVENTS_AGAIN_MS);
        return;
    }
    apr_cpystrn(l->last_event, last.id, sizeof(l->last_event));
    wait_for_events(d);
    check_all(d); /* what happened while nobody listened */
}

/** The stream is followed from its present end, and then everything is looked at once. */
static void on_events_ready(rlyd *d)
{
    char key[RELAY_KEYNAME_SIZE];

    evtimer_del(d->lifetime->again);
    redis_call(d->lifetime->events, on_last_event, 0, "XREVRANGE",
               relay_keyname_format(d->cfg, RELAY_KEYNAME_EVENTS, "", key, sizeof(key)), "+", "-",
               "COUNT", "1");
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    on_events_ready(arg);
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
    round = round < SWEEP_ROUND_MIN   ? SWEEP_ROUND_MIN
            : round > SWEEP_ROUND_MAX ? SWEEP_ROUND_MAX
                                      : round;
    return (count + round - 1) / round;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct lifetimes *l = d->lifetime;
    char by[96];

    timer_arm(l->sweep, SWEEP_EVERY_MS);
    if (!redis_link_is_ready(l->link))
        return;
    ask_time(d);
    session_turn(d, sweep_size(session_count(d)), check_one, NULL);
    if (l->sweeps++ % EXPIRE_EVERY == 0) {
        apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
        redis_call(l->link, NULL, 0, "EVAL", rlyd_script_expire, "1", d->cfg->prefix, by);
    }
}

void lifetime_init(rlyd *d)
{
    struct lifetimes *l = d->lifetime = apr_pcalloc(d->pool, sizeof(*l));

    l->sweep = timer_new(d, on_sweep, d);
    l->again = timer_new(d, on_again, d);
    l->link = redis_link_open(d, "commands", 1, on_ready);
    l->events = redis_link_open(d, "events", 0, on_events_ready);
    timer_arm(l->sweep, SWEEP_EVERY_MS);
}

void lifetime_reload(rlyd *d)
{
    redis_link_restart(d->lifetime->link);
    redis_link_restart(d->lifetime->events);
}
