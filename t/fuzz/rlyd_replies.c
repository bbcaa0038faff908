/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: what Redis answers rlyd, given to each of the functions that look into its answers,
 * whatever the command was. */
#include "fuzz.h"
#include "relay_redis_policy.h"
#include "relay_grant.h"
#include "relay_live.h"
#include "ground/reply.h"

static int judge_record(const redisReply *r)
{
    reply_record record;
    record_state state = reply_tunnel(r, &record);
    int i;

    MUST(record.naddrs >= -1 && record.naddrs <= RELAY_TUNNEL_ROUTES_MAX);
    for (i = 0; i < record.naddrs; i++)
        MUST(record.addrs[i].port);
    MUST(!record.id ||
         (*record.id && strlen(record.id) < RLYD_TUNNEL_MAX && !strpbrk(record.id, "\"\\ {}:*")));
    MUST(!record.fingerprint || relay_fingerprint_is_valid(record.fingerprint));
    MUST(record.created_ms >= 0 && record.expires_ms >= 0);
    MUST(state != RECORD_OPEN || (record.naddrs > 0 && record.expires_ms > 0));
    MUST(state != RECORD_NONE || r->type != REDIS_REPLY_ARRAY);
    return state == RECORD_OPEN;
}

static int judge_events(const redisReply *entries)
{
    reply_event event;
    size_t i, n;
    int taken = 0;

    if (!entries || reply_entries(entries, &n) < 0)
        return 0;
    for (i = 0; i < n; i++) {
        if (reply_entry(entries, i, &event) < 0)
            continue;
        taken = 1;
        MUST(event.id && strlen(event.id) <= 41 &&
             strspn(event.id, "0123456789-") == strlen(event.id));
    }
    MUST(reply_entry(entries, n, &event) < 0);
    return taken;
}

static int judge(const redisReply *r, apr_pool_t *p)
{
    int64_t n = -1;
    size_t i, count = 0;
    const char *text = reply_text(r), *id = reply_tunnel_id(r), *policy;
    int taken = text != NULL;

    MUST(!id || (text && *text && fuzz_is_plain(id)));
    if (reply_number(r, &n) == 0)
        MUST(n >= 0);
    if (reply_time(r, &n) == 0)
        MUST(n >= 0 && n < APR_INT64_C(1000000000000000));
    reply_is_status(r, "PONG");
    if (reply_array(r, &count) == 0)
        for (i = 0; i <= count; i++)
            MUST(i < count || !reply_element(r, i));
    taken |= judge_record(r) | judge_events(r) | judge_events(reply_stream(r));
    policy = text ? relay_redis_evicts_by(text, p) : NULL;
    MUST(!policy || (*policy && fuzz_is_plain(policy)));
    return taken;
}

int fuzz_answers(const char *text, size_t size, apr_pool_t *p)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    int taken = 0;

    MUST(reader);
    if (redisReaderFeed(reader, text, size) == REDIS_OK)
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
            taken |= judge(reply, p);
            freeReplyObject(reply);
        }
    redisReaderFree(reader);
    return taken;
}

/* An entry of live:, as rly and a restarted rlyd read it. What is whole is written as it was read.
 */
int fuzz_live(const char *text, size_t size, apr_pool_t *p)
{
    relay_live entry, again;
    char buf[RELAY_LIVE_SIZE];

    relay_live_parse(&entry, text, p);
    MUST(entry.pid >= 0);
    if (!entry.tunnel || !entry.peer || !entry.way)
        return 0;
    if (!*relay_live_print(&entry, buf, sizeof(buf)))
        return 0; /* longer than any that rlyd writes */
    relay_live_parse(&again, buf, p);
    MUST(again.tunnel && strcmp(again.tunnel, entry.tunnel) == 0);
    MUST(again.peer && strcmp(again.peer, entry.peer) == 0);
    MUST(again.way && strcmp(again.way, entry.way) == 0);
    MUST(again.pid == entry.pid && again.since_ms == entry.since_ms);
    return 1;
}
