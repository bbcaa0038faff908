/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_history_json.h"
#include "relay_record.h"
#include "relay_tunnel_json.h"

#include <string.h>

typedef struct details {
    json_t *json;
    apr_pool_t *p;
} details;

static int add_detail(void *baton, const char *name, const char *value)
{
    const details *d = baton;
    apr_time_t at;

    json_object_set_new(d->json, name,
                        strcmp(name, "expires") == 0 && relay_time_parse(&at, value)
                            ? relay_json_time(at, d->p)
                            : relay_json_text(value, d->p));
    return 1;
}

static json_t *text_or_null(const char *text, apr_pool_t *p)
{
    return relay_json_text(*text ? text : NULL, p);
}

json_t *relay_happened_json(const relay_happened *e, apr_pool_t *p)
{
    details d = {json_object(), p};

    apr_table_do(add_detail, &d, e->details, NULL);
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "v", 1, "id",
                     relay_json_text(e->id, p), "at", relay_json_time(e->at, p), "what",
                     relay_json_text(e->what, p), "tunnel", text_or_null(e->tunnel, p), "tenant",
                     text_or_null(e->tenant, p), "relay", text_or_null(e->relay, p), "by",
                     text_or_null(e->by, p), "from", text_or_null(e->from, p), "request",
                     text_or_null(e->request, p), "details", d.json);
}

json_t *relay_history_json(const relay_history *h, apr_pool_t *p)
{
    json_t *array = json_array();

    for (int i = 0; i < h->events->nelts; i++)
        json_array_append_new(
            array, relay_happened_json(APR_ARRAY_IDX(h->events, i, const relay_happened *), p));
    return json_pack("{s:i, s:o, s:o, s:b}", "v", 1, "events", array, "next",
                     relay_json_text(h->next, p), "more", h->more);
}
