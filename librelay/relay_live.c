/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_live.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>

const char *relay_live_print(const relay_live *entry, char *buf, apr_size_t size)
{
    json_t *json =
        json_pack("{s:s, s:i, s:I, s:s, s:s}", "tunnel", entry->tunnel, "pid", entry->pid, "since",
                  (json_int_t)entry->since_ms, "peer", entry->peer, "way", entry->way);
    size_t length = json ? json_dumpb(json, buf, size, JSON_COMPACT) : 0;

    buf[length < size ? length : 0] = '\0';
    json_decref(json);
    return buf;
}

static const char *string_of(const json_t *json, const char *name, apr_pool_t *p)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? apr_pstrdup(p, text) : NULL;
}

void relay_live_parse(relay_live *out, const char *text, apr_pool_t *p)
{
    json_t *json = json_loads(text, 0, NULL);
    json_int_t pid = json_integer_value(json_object_get(json, "pid"));

    memset(out, 0, sizeof(*out));
    out->tunnel = string_of(json, "tunnel", p);
    out->pid = pid > 0 && pid <= INT_MAX ? (int)pid : 0;
    out->since_ms = json_integer_value(json_object_get(json, "since"));
    out->peer = string_of(json, "peer", p);
    out->way = string_of(json, "way", p);
    json_decref(json);
}
