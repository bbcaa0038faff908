/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lifetime.h"
#include "ground/loop.h"
#include "ground/reply.h"
#include "ground/store.h"
#include "relay_issue.h"
#include "relay_keyname.h"
#include "rlyd/expire_script.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_WAIT_MS 5000
#define SWEEP_EVERY_MS 500
/* Every session is asked about once in so many sweeps: 8 s, with very many sessions up to 64 s. */
#define SWEEP_ROUND_MIN 16
#define SWEEP_ROUND_MAX 128
#define SWEEP_AT_ONCE 25
#define SWEEP_ALL 20   /* so few sessions are all asked about each time */
#define EXPIRE_EVERY 2 /* sweeps */
/* A record that is not there is asked for once more, after this, before its session ends. */
#define MISSING_AGAIN_MS 300
/* At a deadline: an extension that was missed has so long to be told. */
#define LAST_WORD_MS 250
/* After an answer that is none, or that came without waiting and says nothing. */
#define EVENTS_AGAIN_MS 500

struct lifetimes {
    redis_link *events;
    struct event *sweep, *again;
    int64_t asked_ms; /* when XREAD was sent last */
    char last_event[48];
    unsigned sweeps;
    int64_t record_gate;
};

/* ---- one session's record */

static void on_timer(evutil_socket_t fd, short what, void *arg);

/** Has on_timer() look at the session. */
static void wake_in(session *s, int64_t ms)
{
    if (!s->lifetime.timer)
        s->lifetime.timer = timer_new(s->d, on_timer, s);
    timer_arm(s->lifetime.timer, ms);
}

/** (Re)sets the end of the session. */
static void set_deadline(session *s, int64_t deadline_ms)
{
    int64_t left = deadline_ms - now_ms();

    s->lifetime.deadline_ms = deadline_ms;
    wake_in(s, left > 0 ? left : 0);
}

static void report_record(session *s, const char *what)
{
    if (gate_open(&s->d->lifetime->record_gate, 10000))
        relay_log(RELAY_LOG_ERR,
                  "RLY433 record tunnel:%s %s; its session goes on until the end that is known",
                  s->tunnel[0] ? s->tunnel : "(of a session that was found)", what);
}

static void record_missing(session *s)
{
    if (++s->lifetime.missing > 1)
        session_end(s, "its tunnel has no record");
    else
        wake_in(s, MISSING_AGAIN_MS);
}

/** Judges a session by its tunnel's record. */
static void judge(session *s, record_state state, const reply_record *record)
{
    static int64_t gate;

    if (state != RECORD_MISSING && state != RECORD_NONE)
        s->lifetime.missing = 0;
    switch (state) {
    case RECORD_NONE:
        redis_odd(store_link(s->d), &gate, "HGETALL");
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
        set_deadline(s, store_local_ms(s->d, record->expires_ms));
        if (s->lifetime.deadline_ms <= now_ms())
            session_end(s, "expired");
        break;
    }
}

static void on_record(rlyd *d, redisReply *r, uint64_t id)
{
    session *s = session_by_id(d, id);
    reply_record record;

    if (s && r && s->state == SESSION_PROVED && store_knows_time(d))
        judge(s, reply_tunnel(r, &record), &record);
}

/** Reads the record; the clock has been asked for before, on the same connection. */
static int ask_record(session *s)
{
    char key[RELAY_KEYNAME_SIZE];

    return redis_call(store_link(s->d), on_record, s->id, "HGETALL",
                      relay_keyname_format(s->d->cfg, RELAY_KEYNAME_TUNNEL, s->tunnel, key,
                                           sizeof(key)));
}

void lifetime_offered(session *s, pid_t asker, const message *login)
{
    if (store_knows_time(s->d))
        s->lifetime.deadline_ms = store_local_ms(s->d, login->expires_redis_ms);
}

void lifetime_entered(session *s)
{
    if (!s->tunnel[0]) /* the report may be about another key */
        s->lifetime.deadline_ms = 0;
}

void lifetime_proved(session *s)
{
    int64_t deadline_ms = s->lifetime.deadline_ms;

    /* Redis has just granted it by its own clock. If it seems to be long over, that clock was put
     * back since we asked for it: the record has the last word, see below. */
    if (deadline_ms)
        set_deadline(s, deadline_ms > now_ms() ? deadline_ms : now_ms());
    store_ask_time(s->d);
    ask_record(s);
}

static void identify(session *s);

/** The deadline is here, or another look is wanted. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    session *s = arg;
    int64_t deadline_ms = s->lifetime.deadline_ms, over = deadline_ms ? now_ms() - deadline_ms : -1;

    if (!s->tunnel[0]) {
        identify(s);
        return;
    }
    if (over < 0) { /* another look was wanted: record_missing() */
        if (deadline_ms)
            wake_in(s, -over);
        store_ask_time(s->d);
        ask_record(s);
        return;
    }
    /* The clock may be a tick off, or an extension on its way: the record has the last word, if it
     * comes quickly. */
    if (over < LAST_WORD_MS) {
        wake_in(s, LAST_WORD_MS - over + 1);
        store_ask_time(s->d);
        if (ask_record(s) == 0)
            return;
    }
    session_end(s, "expired");
}

void lifetime_ending(session *s)
{
    timer_free(s->lifetime.timer);
    s->lifetime.timer = NULL;
}

/* ---- whose is a found session */

static void unidentified(session *s)
{
    session_end(s, "no tunnel has its address");
}

/** Here is the tunnel that holds the address now: is it the one that the session began with? */
static void on_candidate(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    session *s = session_by_id(d, id);
    reply_record record;
    record_state state;
    int64_t age;

    if (!s || !r || s->tunnel[0] || s->state != SESSION_PROVED || !store_knows_time(d))
        return;
    state = reply_tunnel(r, &record);
    if (state == RECORD_NONE) {
        redis_odd(store_link(d), &gate, "HGETALL");
        return;
    }
    if (state == RECORD_MISSING) {
        unidentified(s);
        return;
    }
    if (!record.id || !record.created_ms || !record.fingerprint || record.naddrs < 0) {
        /* It is asked for again, as long as the session listens. */
        report_record(s, "is malformed");
        return;
    }
    /* Where addresses come back, a session that is older than the tunnel is another's. It is older
     * by the cooldown at least; half of that is left to clocks that were put back. */
    age = store_redis_ms(d, now_ms()) - record.created_ms;
    if (relay_issue_space(d->cfg) != RELAY_SPACE_WIDE &&
        proc_age_ms(s->child_start) > age + apr_time_as_msec(d->cfg->cooldown) / 2) {
        unidentified(s);
        return;
    }
    session_identify(s, record.id, record.fingerprint, record.naddrs, record.addrs);
    if (s->state == SESSION_PROVED) /* else a newer session of its tunnel is there */
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
        redis_odd(store_link(d), &gate, "GET");
        return;
    }
    if (!(tunnel = reply_tunnel_id(r))) {
        unidentified(s);
        return;
    }
    store_ask_time(d);
    redis_call(store_link(d), on_candidate, id, "HGETALL",
               relay_keyname_format(d->cfg, RELAY_KEYNAME_TUNNEL, tunnel, key, sizeof(key)));
}

/** Asks whose a found session is, once its listener is known, and again and again while Redis is
 * away. */
static void identify(session *s)
{
    char key[RELAY_KEYNAME_SIZE];

    wake_in(s, s->listeners.count ? 1000 : 1);
    if (!s->listeners.count)
        return;
    redis_call(store_link(s->d), on_slot, s->id, "GET",
               relay_keyname_slot(s->d->cfg, s->listeners.last, key, sizeof(key)));
}

void lifetime_found(session *s)
{
    identify(s);
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
    /* An event of rlyd's own needs no answer. */
    if (event->tunnel && event->what && strcmp(event->what, "up") != 0 &&
        strcmp(event->what, "down") != 0)
        check_tunnel(d, event->tunnel);
}

/** @return whether that brought us forward; if not we would be told the same at once, for ever */
static int take_events(rlyd *d, const redisReply *entries)
{
    char before[sizeof(d->lifetime->last_event)];
    reply_event event;
    size_t i, n;

    if (reply_entries(entries, &n) < 0)
        return 0;
    memcpy(before, d->lifetime->last_event, sizeof(before));
    store_ask_time(d);
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
    /* A broken link is made anew, and begins again by itself. */
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
        identify(s);
}

static void check_all(rlyd *d)
{
    store_ask_time(d);
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
    check_all(d); /* something may have happened while nobody listened */
}

/** Follows the stream from its present end, and then looks at everything once. */
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

void lifetime_ready(rlyd *d)
{
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
    if (!redis_link_is_ready(store_link(d)))
        return;
    store_ask_time(d);
    session_turn(d, sweep_size(session_count(d)), check_one, NULL);
    if (l->sweeps++ % EXPIRE_EVERY == 0) {
        apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
        redis_call(store_link(d), NULL, 0, "EVAL", rlyd_script_expire, "1", d->cfg->prefix, by);
    }
}

void lifetime_init(rlyd *d)
{
    struct lifetimes *l = d->lifetime = apr_pcalloc(d->pool, sizeof(*l));

    l->sweep = timer_new(d, on_sweep, d);
    l->again = timer_new(d, on_again, d);
    l->events = redis_link_open(d, "events", 0, on_events_ready);
    timer_arm(l->sweep, SWEEP_EVERY_MS);
}

void lifetime_reload(rlyd *d)
{
    redis_link_restart(d->lifetime->events);
}
