/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "way_fleet.h"
#include "fleet.h"
#include "relay_clock.h"
#include "relay_duration.h"
#include "relay_name.h"
#include "relay_words.h"
#include "talk.h"

#include <string.h>

#define FOLLOW 25                         /* seconds that the API waits for an event */
#define FOLLOW_LEAST apr_time_from_sec(1) /* an API that waits less is not asked more often */

/* What is no id is in no path either. */
static int is_id(const char *id)
{
    return relay_name_check(id, strlen(id), NULL, NULL) == APR_SUCCESS;
}

/* ---- what is taken away */

static apr_status_t take_away(rly *r, const char *path, const relay_rows *rows, const char *id,
                              const char **why)
{
    rly_api_result result;
    apr_status_t rv;

    if (!is_id(id))
        return relay_rows_none(rows, id, r->p, why);
    rv = rly_talk(&result, r, "DELETE", rly_talk_path(r, path, id), NULL, why);
    json_decref(result.json);
    /* Asked again: the first time has done it. */
    return rv == RELAY_ENOTFOUND && result.repeated ? APR_SUCCESS : rv;
}

/* ---- codes */

apr_status_t rly_fleet_code_make(relay_code *c, const char **text, rly *r, relay_code_request *req,
                                 const char **why)
{
    rly_api_request ask = {.method = "POST", .path = "/v1/enrolment-codes"};
    rly_api_result result;
    apr_status_t rv;

    /* What JSON cannot say is refused here. */
    if ((rv = relay_words_tenant(req->tenant, r->p, why)) != APR_SUCCESS ||
        (rv = relay_words_label(req->label, r->p, why)) != APR_SUCCESS)
        return rv;
    ask.body =
        json_pack("{s:I, s:b, s:s, s:s}", "uses", (json_int_t)req->uses, "approval", req->approval,
                  "label", req->label, "ttl", relay_duration_print(req->ttl, r->p));
    ask.once = 1; /* asked again it is not told again what the code is */
    if (req->tenant)
        json_object_set_new(ask.body, "tenant", json_string(req->tenant));
    rv = rly_api_call(&result, r->api->api, &ask, r->p, why);
    json_decref(ask.body);
    if (rv == APR_SUCCESS)
        rv = rly_answer_code(c, text, result.json, r->p, why);
    json_decref(result.json);
    return rv;
}

apr_status_t rly_fleet_code_list(apr_array_header_t **out, rly *r, const char *tenant,
                                 const char **why)
{
    return rly_talk_list(out, r, "/v1/enrolment-codes", tenant, rly_answer_codes, why);
}

apr_status_t rly_fleet_code_revoke(rly *r, const char *id, const char **why)
{
    return take_away(r, "/v1/enrolment-codes", &relay_code_rows, id, why);
}

/* ---- devices */

apr_status_t rly_fleet_device_list(apr_array_header_t **out, rly *r, const char *tenant,
                                   const char **why)
{
    return rly_talk_list(out, r, "/v1/devices", tenant, rly_answer_devices, why);
}

/* Asks about one device, or changes it: either is answered with the device. */
static apr_status_t one_device(relay_device **out, rly *r, const char *method, const char *id,
                               json_t *body, const char **why)
{
    relay_device *d = apr_palloc(r->p, sizeof(*d));
    rly_api_result result;
    apr_status_t rv = rly_talk(&result, r, method, rly_talk_path(r, "/v1/devices", id), body, why);

    if (rv == APR_SUCCESS)
        rv = rly_answer_device(d, result.json, r->p, why);
    json_decref(result.json);
    if (rv == APR_SUCCESS && strcmp(d->id, id) != 0) {
        RELAY_WHY(why, r->p, "the API's answer cannot be used: it is about another device");
        rv = RELAY_ERECORD;
    }
    *out = d;
    return rv;
}

apr_status_t rly_fleet_device_find(relay_device **out, rly *r, const char *id, const char **why)
{
    return is_id(id) ? one_device(out, r, "GET", id, NULL, why)
                     : relay_rows_none(&relay_device_rows, id, r->p, why);
}

apr_status_t rly_fleet_device_alter(rly *r, const char *id, const relay_device_change *change,
                                    const char **why)
{
    apr_status_t rv = relay_words_label(change->label, r->p, why);
    relay_device *d;
    json_t *body;

    if (rv != APR_SUCCESS)
        return rv;
    if (!is_id(id))
        return relay_rows_none(&relay_device_rows, id, r->p, why);
    body = json_object();
    if (change->label)
        json_object_set_new(body, "label", json_string(change->label));
    if (change->approved >= 0)
        json_object_set_new(body, "approved", json_boolean(change->approved));
    return one_device(&d, r, "PATCH", id, body, why);
}

apr_status_t rly_fleet_device_remove(rly *r, const char *id, const char **why)
{
    return take_away(r, "/v1/devices", &relay_device_rows, id, why);
}

/* ---- relays */

apr_status_t rly_fleet_relay_list(apr_array_header_t **out, rly *r, const char **why)
{
    rly_api_result result;
    apr_status_t rv = rly_talk(&result, r, "GET", "/v1/relays", NULL, why);

    *out = apr_array_make(r->p, 4, sizeof(relay_host *));
    if (rv == APR_SUCCESS)
        rv = rly_answer_relays(*out, result.json, r->p, why);
    json_decref(result.json);
    return rv;
}

apr_status_t rly_fleet_relay_drain(rly *r, const char *name, int draining, const char **why)
{
    rly_api_result result;
    apr_status_t rv;

    if (!is_id(name))
        return relay_host_none(name, r->p, why);
    rv = rly_talk(&result, r, "PATCH", rly_talk_path(r, "/v1/relays", name),
                  json_pack("{s:b}", "draining", draining), why);
    json_decref(result.json);
    return rv;
}

/* ---- events */

static const char *events_path(const relay_history *h, int follow, apr_pool_t *p)
{
    const char *path = "/v1/events?limit=" RLY_TALK_PAGE;

    if (!h->since)
        path = apr_psprintf(p, "/v1/events?limit=%d", h->count);
    else
        path = apr_pstrcat(p, path, "&since=", rly_api_escape(h->since, p), NULL);
    if (h->tenant)
        path = apr_pstrcat(p, path, "&tenant=", rly_api_escape(h->tenant, p), NULL);
    return follow ? apr_psprintf(p, "%s&follow=%d", path, FOLLOW) : path;
}

apr_status_t rly_fleet_events(rly *r, relay_history *h, int follow, apr_pool_t *p, const char **why)
{
    /* The latest ones are told at once. */
    int waits = follow && h->since;
    const rly_api_request ask = {
        .method = "GET", .path = events_path(h, waits, p), .patience = waits ? FOLLOW : 0};
    apr_time_t begun = relay_clock();
    apr_interval_time_t took;
    rly_api_result result;
    apr_status_t rv = rly_api_call(&result, r->api->api, &ask, p, why);

    if (rv == APR_SUCCESS)
        rv = rly_answer_events(h, result.json, p, why);
    json_decref(result.json);
    took = relay_clock() - begun;
    if (rv == APR_SUCCESS && waits && !h->events->nelts && took >= 0 && took < FOLLOW_LEAST)
        apr_sleep(FOLLOW_LEAST - took);
    return rv;
}
