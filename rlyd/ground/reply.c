/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "reply.h"
#include "relay_name.h"
#include "relay_store.h"

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

/** Digits only, and at most so many of them that what is reckoned with the number does not
 * overflow. */
static int read_digits(const char *text, size_t most, int64_t *out)
{
    size_t len = text ? strlen(text) : 0;

    if (!len || len > most || strspn(text, "0123456789") != len)
        return -1;
    *out = apr_atoi64(text);
    return 0;
}

int reply_time(const redisReply *r, int64_t *ms)
{
    int64_t seconds, us;

    if (read_digits(reply_element(r, 0), 12, &seconds) < 0 ||
        read_digits(reply_element(r, 1), 6, &us) < 0)
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

static int64_t time_field(const redisReply *r, const char *field)
{
    int64_t ms;

    return read_digits(relay_reply_field(r, field), 15, &ms) == 0 ? ms : 0;
}

static int read_addrs(const redisReply *r, relay_listen_addr *addrs)
{
    int64_t i, n;

    if (read_digits(relay_reply_field(r, "routes"), 4, &n) < 0 || n < 1 ||
        n > RELAY_TUNNEL_ROUTES_MAX)
        return -1;
    for (i = 0; i < n; i++) {
        char field[24];
        const char *value;

        apr_snprintf(field, sizeof(field), "listen.%d", (int)i);
        value = relay_reply_field(r, field);
        if (!value || relay_listen_addr_parse(&addrs[i], value) != APR_SUCCESS)
            return -1;
    }
    return (int)n;
}

record_state reply_tunnel(const redisReply *r, reply_record *out)
{
    const char *state;
    size_t n;

    memset(out, 0, sizeof(*out));
    out->naddrs = -1;
    if (reply_array(r, &n) < 0)
        return RECORD_NONE;
    if (n == 0)
        return RECORD_MISSING;
    out->id = tunnel_id(relay_reply_field(r, "id"));
    out->fingerprint = relay_reply_field(r, "key");
    if (out->fingerprint && !relay_fingerprint_is_valid(out->fingerprint))
        out->fingerprint = NULL;
    out->created_ms = time_field(r, "created");
    out->expires_ms = time_field(r, "expires");
    out->naddrs = read_addrs(r, out->addrs);
    if (relay_reply_version(r, "", NULL, NULL) != APR_SUCCESS)
        return RECORD_NEWER;
    state = relay_reply_field(r, "state");
    if (!state || !out->expires_ms || out->naddrs < 0)
        return RECORD_MALFORMED;
    return strcmp(state, "open") == 0 ? RECORD_OPEN : RECORD_CLOSED;
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
    out->what = relay_reply_field(entry->element[1], "what");
    out->tunnel = relay_reply_field(entry->element[1], "tunnel");
    return 0;
}
