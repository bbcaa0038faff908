/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fleet.h"
#include "member.h"
#include "relay_name.h"
#include "relay_words.h"

#include <string.h>

#define RELAYS_MAX 10000
#define DETAILS_MAX 64
#define TEXT_BYTES 300
#define CODE_BYTES 40   /* with what stands between its groups */
#define LONG_BYTES 4000 /* what an event says */
#define NUMBER_MAX 999999999

/* Nobody's is null, and "" to us. */
static const char *text_or_none(rly_members *m, const char *name, apr_size_t max)
{
    const char *text = rly_member_text_or_null(m, name, max);

    return text ? text : "";
}

static const char *tenant_of(rly_members *m)
{
    const char *tenant = text_or_none(m, "tenant", RELAY_NAME_MAX);

    if (*tenant && relay_name_check(tenant, strlen(tenant), NULL, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "tenant");
    return tenant;
}

/* ---- codes and devices */

apr_status_t rly_answer_code(relay_code *out, const char **text, const json_t *json, apr_pool_t *p,
                             const char **why)
{
    rly_members m = {.json = json, .p = p};
    const char *id, *hash;

    *out = (relay_code){.id = rly_member_label(&m, "id"),
                        .tenant = tenant_of(&m),
                        .label = rly_member_text(&m, "label", RELAY_LABEL_MAX),
                        .by = rly_member_text(&m, "by", TEXT_BYTES),
                        .uses = rly_member_number(&m, "uses", NUMBER_MAX),
                        .used = rly_member_number(&m, "used", NUMBER_MAX),
                        .approval = rly_member_switch(&m, "approval"),
                        .created = rly_member_time(&m, "created", 0),
                        .expires = rly_member_time(&m, "expires", 0)};
    if (text)
        *text = rly_member_text(&m, "code", CODE_BYTES);
    if (text && !m.wrong && (!relay_code_parse(&id, &hash, *text, p) || strcmp(id, out->id) != 0))
        rly_member_wrong(&m, "code");
    return rly_members_end(&m, why);
}

apr_status_t rly_answer_device(relay_device *out, const json_t *json, apr_pool_t *p,
                               const char **why)
{
    rly_members m = {.json = json, .p = p};

    *out = (relay_device){.id = rly_member_label(&m, "id"),
                          .tenant = tenant_of(&m),
                          .label = rly_member_text(&m, "label", RELAY_LABEL_MAX),
                          .by = rly_member_text(&m, "by", TEXT_BYTES),
                          .from = text_or_none(&m, "from", TEXT_BYTES),
                          .approved = rly_member_switch(&m, "approved"),
                          .created = rly_member_time(&m, "created", 0),
                          .seen = rly_member_time(&m, "seen", 0)};
    return rly_members_end(&m, why);
}

static apr_status_t code_row(void **row, const json_t *json, apr_pool_t *p, const char **why)
{
    *row = apr_palloc(p, sizeof(relay_code));
    return rly_answer_code(*row, NULL, json, p, why);
}

apr_status_t rly_answer_codes(apr_array_header_t *codes, const char **next, const json_t *json,
                              apr_pool_t *p, const char **why)
{
    return rly_member_rows(codes, next, json, "codes", RLY_PAGE_ROWS, code_row, p, why);
}

static apr_status_t device_row(void **row, const json_t *json, apr_pool_t *p, const char **why)
{
    *row = apr_palloc(p, sizeof(relay_device));
    return rly_answer_device(*row, json, p, why);
}

apr_status_t rly_answer_devices(apr_array_header_t *devices, const char **next, const json_t *json,
                                apr_pool_t *p, const char **why)
{
    return rly_member_rows(devices, next, json, "devices", RLY_PAGE_ROWS, device_row, p, why);
}

/* ---- relays */

static apr_status_t relay_row(void **row, const json_t *json, apr_pool_t *p, const char **why)
{
    relay_host *out = *row = apr_palloc(p, sizeof(*out));
    rly_members m = {.json = json, .p = p};
    const char *state = rly_member_text(&m, "state", 10);

    *out = (relay_host){.name = rly_member_label(&m, "name"),
                        .up = state && strcmp(state, "up") == 0,
                        .ssh = text_or_none(&m, "ssh", TEXT_BYTES),
                        .load = rly_member_decimal(&m, "load", 1e9),
                        .versions = text_or_none(&m, "versions", TEXT_BYTES),
                        .sessions = rly_member_number_or_null(&m, "sessions", NUMBER_MAX),
                        .heard = rly_member_time(&m, "heard", 1),
                        .draining = rly_member_switch(&m, "draining"),
                        .since = rly_member_time(&m, "since", 1),
                        .by = text_or_none(&m, "by", TEXT_BYTES)};
    if (state && !out->up && strcmp(state, "silent") != 0)
        rly_member_wrong(&m, "state");
    return rly_members_end(&m, why);
}

apr_status_t rly_answer_relays(apr_array_header_t *relays, const json_t *json, apr_pool_t *p,
                               const char **why)
{
    return rly_member_rows(relays, NULL, json, "relays", RELAYS_MAX, relay_row, p, why);
}

/* ---- events */

/* A time is milliseconds to us, as Redis has it. */
static const char *detail_of(rly_members *m, const char *name)
{
    rly_members as_time = *m;
    apr_time_t t = strcmp(name, "expires") == 0 ? rly_member_time(&as_time, name, 0) : 0;

    return t && !as_time.wrong ? apr_psprintf(m->p, "%" APR_TIME_T_FMT, apr_time_as_msec(t))
                               : rly_member_text(m, name, LONG_BYTES);
}

static apr_table_t *read_details(const json_t *json, rly_members *event)
{
    apr_table_t *details = apr_table_make(event->p, 4);
    rly_members m = {.json = json, .p = event->p};
    json_t *at = (json_t *)json; /* nothing of it is changed */

    if (!json_is_object(json) || json_object_size(json) > DETAILS_MAX)
        rly_member_wrong(event, "details");
    for (void *i = json_object_iter(at); i && !event->wrong; i = json_object_iter_next(at, i)) {
        const char *name = json_object_iter_key(i), *value = detail_of(&m, name);

        if (m.wrong || !*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")])
            rly_member_wrong(event, "details");
        else
            apr_table_set(details, name, value);
    }
    return details;
}

static const char *read_place(rly_members *m, const char *name)
{
    const char *place = rly_member_text(m, name, 40);

    if (place && !relay_history_is_place(place))
        rly_member_wrong(m, name);
    return place;
}

static relay_happened *read_event(const json_t *json, rly_members *page)
{
    rly_members m = {.json = json, .p = page->p};
    relay_happened *e = apr_palloc(page->p, sizeof(*e));

    *e = (relay_happened){.id = read_place(&m, "id"),
                          .at = rly_member_time(&m, "at", 0),
                          .tenant = text_or_none(&m, "tenant", LONG_BYTES),
                          .what = rly_member_text(&m, "what", LONG_BYTES),
                          .tunnel = text_or_none(&m, "tunnel", LONG_BYTES),
                          .relay = text_or_none(&m, "relay", LONG_BYTES),
                          .by = text_or_none(&m, "by", LONG_BYTES),
                          .from = text_or_none(&m, "from", LONG_BYTES),
                          .request = text_or_none(&m, "request", LONG_BYTES),
                          .details = read_details(json_object_get(json, "details"), &m)};
    if (m.wrong)
        rly_member_wrong(page, m.wrong);
    return e;
}

apr_status_t rly_answer_events(relay_history *h, const json_t *json, apr_pool_t *p,
                               const char **why)
{
    rly_members m = {.json = json, .p = p};
    apr_array_header_t *events = apr_array_make(p, 16, sizeof(relay_happened *));
    const json_t *rows = rly_member_array(&m, "events", RELAY_HISTORY_MAX);
    const char *before = h->since ? h->since : "0-0", *next = read_place(&m, "next");
    int more = rly_member_switch(&m, "more");
    apr_status_t rv;

    for (size_t i = 0; i < json_array_size(rows) && !m.wrong; i++) {
        relay_happened *e = read_event(json_array_get(rows, i), &m);

        if (!m.wrong && relay_history_compare(before, e->id) >= 0)
            rly_member_wrong(&m, "id");
        before = e->id;
        APR_ARRAY_PUSH(events, relay_happened *) = e;
    }
    /* It comes further: what is asked for next stands behind what was told. */
    if (!m.wrong && relay_history_compare(before, next) > 0)
        rly_member_wrong(&m, "next");
    if (!m.wrong && more && h->since && relay_history_compare(h->since, next) >= 0)
        rly_member_wrong(&m, "more");
    if ((rv = rly_members_end(&m, why)) != APR_SUCCESS)
        return rv;
    h->events = events;
    h->next = next;
    h->more = more;
    return APR_SUCCESS;
}
