/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_fleet_json.h"
#include "relay_tunnel_json.h"

#include <stdlib.h>

static json_t *tenant_json(const char *tenant, apr_pool_t *p)
{
    return relay_json_text(*tenant ? tenant : NULL, p);
}

json_t *relay_code_json(const void *code, apr_pool_t *p)
{
    const relay_code *c = code;

    return json_pack("{s:i, s:o, s:o, s:o, s:I, s:I, s:b, s:o, s:o, s:o}", "v", 1, "id",
                     relay_json_text(c->id, p), "tenant", tenant_json(c->tenant, p), "label",
                     relay_json_text(c->label, p), "uses", (json_int_t)c->uses, "used",
                     (json_int_t)c->used, "approval", c->approval, "by", relay_json_text(c->by, p),
                     "created", relay_json_time(c->created, p), "expires",
                     relay_json_time(c->expires, p));
}

json_t *relay_device_json(const void *device, apr_pool_t *p)
{
    const relay_device *d = device;

    return json_pack("{s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "v", 1, "id",
                     relay_json_text(d->id, p), "label", relay_json_text(d->label, p), "tenant",
                     tenant_json(d->tenant, p), "approved", d->approved, "by",
                     relay_json_text(d->by, p), "from",
                     relay_json_text(*d->from ? d->from : NULL, p), "created",
                     relay_json_time(d->created, p), "seen", relay_json_time(d->seen, p));
}

json_t *relay_host_json(const relay_host *h, int whole, apr_pool_t *p)
{
    int knows_load = whole && *h->load, knows_sessions = whole && h->sessions >= 0;

    return json_pack("{s:i, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "v", 1, "name",
                     relay_json_text(h->name, p), "state", h->up ? "up" : "silent", "draining",
                     h->draining, "since", relay_json_time(h->since, p), "by",
                     relay_json_text(whole && *h->by ? h->by : NULL, p), "ssh",
                     relay_json_text(*h->ssh ? h->ssh : NULL, p), "sessions",
                     knows_sessions ? json_integer((json_int_t)h->sessions) : json_null(), "load",
                     knows_load ? json_real(strtod(h->load, NULL)) : json_null(), "versions",
                     relay_json_text(whole && *h->versions ? h->versions : NULL, p), "heard",
                     relay_json_time(h->heard, p));
}

json_t *relay_rows_json(const char *name, const apr_array_header_t *rows,
                        json_t *(*one)(const void *row, apr_pool_t *p), apr_pool_t *p)
{
    json_t *array = json_array();

    for (int i = 0; i < rows->nelts; i++)
        json_array_append_new(array, one(APR_ARRAY_IDX(rows, i, const void *), p));
    return json_pack("{s:i, s:o}", "v", 1, name, array);
}
