/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "reply.h"
#include "relay_grant.h"
#include "relay_name.h"

#include <stdlib.h>
#include <string.h>

#define EVENT_ID_MAX 41 /* two numbers of 64 bits and a `-` */

int reply_is_status(const redisReply *r, const char *word)
{
    return r && r->type == REDIS_REPLY_STATUS && r->str && strcmp(r->str, word) == 0;
}

const char *reply_text(const redisReply *r)
{
    if (!r || r->type != REDIS_REPLY_STRING || !r->str || strlen(r->str) != (size_t)r->len)
        return NULL;
    return r->str;
}

int reply_number(const redisReply *r, int64_t *n)
{
    if (!r || r->type != REDIS_REPLY_INTEGER || r->integer < 0)
        return -1;
    *n = r->integer;
    return 0;
}

int reply_array(const redisReply *r, size_t *n)
{
    if (!r || r->type != REDIS_REPLY_ARRAY)
        return -1;
    *n = r->elements;
    return 0;
}

const char *reply_element(const redisReply *r, size_t i)
{
    size_t n;

    return reply_array(r, &n) == 0 && i < n ? reply_text(r->element[i]) : NULL;
}

int reply_time(const redisReply *r, int64_t *ms)
{
    apr_int64_t seconds, us;

    if (!relay_number_parse(&seconds, reply_element(r, 0), 12) ||
        !relay_number_parse(&us, reply_element(r, 1), 6))
        return -1;
    *ms = seconds * 1000 + us / 1000;
    return 0;
}

static const char *tunnel_id(const char *text)
{
    return text && strlen(text) < RLYD_TUNNEL_MAX &&
                   relay_name_check(text, strlen(text), NULL, NULL) == APR_SUCCESS
               ? text
               : NULL;
}

const char *reply_tunnel_id(const redisReply *r)
{
    return tunnel_id(reply_text(r));
}

/** @return how many, or -1 where one is missing */
static int read_addrs(relay_listen_addr *addrs, const relay_tunnel_record *record)
{
    int i;

    for (i = 0; i < record->nroutes; i++) {
        addrs[i] = record->routes[i].listen;
        if (!addrs[i].port)
            return -1;
    }
    return record->nroutes ? record->nroutes : -1;
}

record_state reply_tunnel(const redisReply *r, reply_record *out)
{
    relay_tunnel_record record;
    size_t n;

    memset(out, 0, sizeof(*out));
    out->naddrs = -1;
    if (reply_array(r, &n) < 0)
        return RECORD_NONE;
    if (n == 0)
        return RECORD_MISSING;
    relay_tunnel_record_read(&record, r);
    out->id = tunnel_id(record.id);
    out->fingerprint = record.key && relay_fingerprint_is_valid(record.key) ? record.key : NULL;
    out->created_ms = apr_time_as_msec(record.created);
    out->expires_ms = apr_time_as_msec(record.expires);
    out->naddrs = read_addrs(out->addrs, &record);
    if (relay_record_version(r, "", NULL, NULL) != APR_SUCCESS)
        return RECORD_NEWER;
    if (!record.state || !out->expires_ms || out->naddrs < 0)
        return RECORD_MALFORMED;
    return strcmp(record.state, "open") == 0 ? RECORD_OPEN : RECORD_CLOSED;
}

int reply_entries(const redisReply *r, size_t *n)
{
    return reply_array(r, n);
}

const redisReply *reply_stream(const redisReply *r)
{
    const redisReply *stream;
    size_t n;

    if (reply_array(r, &n) < 0 || n != 1)
        return NULL;
    stream = r->element[0];
    if (reply_array(stream, &n) < 0 || n != 2 || !reply_text(stream->element[0]) ||
        reply_array(stream->element[1], &n) < 0)
        return NULL;
    return stream->element[1];
}

static int is_event_id(const char *text)
{
    size_t len = text ? strlen(text) : 0, first = text ? strspn(text, "0123456789") : 0;

    return first > 0 && first < len && len <= EVENT_ID_MAX && text[first] == '-' &&
           len > first + 1 && strspn(text + first + 1, "0123456789") == len - first - 1;
}

int reply_entry(const redisReply *entries, size_t i, reply_event *out)
{
    const redisReply *entry;
    size_t n;

    if (reply_array(entries, &n) < 0 || i >= n)
        return -1;
    entry = entries->element[i];
    out->id = reply_element(entry, 0);
    if (reply_array(entry, &n) < 0 || n != 2 || !is_event_id(out->id) ||
        reply_array(entry->element[1], &n) < 0)
        return -1;
    out->what = relay_record_field(entry->element[1], "what");
    out->tunnel = relay_record_field(entry->element[1], "tunnel");
    return 0;
}
