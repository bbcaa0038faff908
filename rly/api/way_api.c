/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "way_api.h"
#include "member.h"
#include "relay_duration.h"
#include "talk.h"
#include "way_fleet.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- looking tunnels up */

/* One page. @param member out: which parameter the API did not take; may be NULL */
static apr_status_t page(apr_array_header_t *tunnels, rly *r, const char *query,
                         const char **member, const char **why)
{
    rly_api_result result;
    apr_status_t rv =
        rly_talk(&result, r, "GET", apr_pstrcat(r->p, "/v1/tunnels?", query, NULL), NULL, why);

    if (rv == APR_SUCCESS) {
        r->api->seen.tunnels = tunnels;
        rv = rly_answer_tunnels(&r->api->seen, r->cfg, result.json, r->p, why);
    }
    else if (member) {
        *member = result.problem.member;
    }
    json_decref(result.json);
    return rv;
}

static apr_status_t pages(apr_array_header_t **out, rly *r, const char *query, const char **member,
                          const char **why)
{
    const char *cursor = NULL, *before, *at = query;
    apr_status_t rv;
    int n = 0;

    *out = apr_array_make(r->p, 16, sizeof(relay_tunnel *));
    do {
        before = cursor;
        if ((rv = page(*out, r, at, member, why)) != APR_SUCCESS)
            return rv;
        cursor = r->api->seen.next;
    } while (rly_talk_goes_on(&at, query, before, cursor, r->p) && ++n < RLY_TALK_PAGES_MAX);
    return rly_talk_ended(cursor, r->p, why);
}

static apr_status_t list(apr_array_header_t **out, rly *r, const char **why)
{
    return pages(out, r, "limit=" RLY_TALK_PAGE, NULL, why);
}

/* The tunnel that a parameter names. */
static apr_status_t find_one(relay_tunnel **out, rly *r, const char *parameter, const char *value,
                             const char **why)
{
    apr_array_header_t *found = apr_array_make(r->p, 1, sizeof(relay_tunnel *));
    const char *query = apr_pstrcat(r->p, parameter, "=", rly_api_escape(value, r->p), NULL);
    apr_status_t rv = page(found, r, query, NULL, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (found->nelts != 1) {
        RELAY_WHY(why, r->p, "there is no such tunnel");
        return RELAY_ENOTFOUND;
    }
    *out = APR_ARRAY_IDX(found, 0, relay_tunnel *);
    return APR_SUCCESS;
}

static apr_status_t find(relay_tunnel **out, rly *r, rly_by by, const char *what, const char **why)
{
    apr_status_t rv;

    if (by == RLY_BY_KEY)
        return find_one(out, r, "key", what, why);
    if (by == RLY_BY_ID_OR_NAME && (rv = find_one(out, r, "id", what, why)) != RELAY_ENOTFOUND)
        return rv;
    return find_one(out, r, "name", what, why);
}

/* Each list says it, also that of no tunnel. */
static apr_status_t learn_domain(rly *r, const char **why)
{
    relay_tunnel *t;
    apr_status_t rv = r->cfg->domain ? APR_SUCCESS : find_one(&t, r, "id", "none", why);

    return rv == RELAY_ENOTFOUND ? APR_SUCCESS : rv;
}

static apr_status_t with_device(apr_array_header_t **out, rly *r, const char *device,
                                const char **why)
{
    const char *query =
        apr_pstrcat(r->p, "limit=" RLY_TALK_PAGE "&device=", rly_api_escape(device, r->p), NULL);
    const char *member = "";
    apr_array_header_t *found;
    apr_status_t rv = RELAY_EREFUSED;

    if (!r->open)
        rv = pages(&found, r, query, &member, why);
    /* With a token of all tenants the API looks for a device in one of them only. */
    if (rv != APR_SUCCESS && !r->open && strcmp(member, "device") == 0 &&
        (rv = list(&found, r, why)) == APR_SUCCESS)
        r->open = found;
    if (rv == APR_SUCCESS || r->open)
        *out = rly_of_device(r->open ? r->open : found, device, r->p);
    return r->open ? APR_SUCCESS : rv;
}

static apr_status_t links(relay_links **out, apr_time_t *now, rly *r,
                          const apr_array_header_t *tunnels, const char **why)
{
    *out = r->api->seen.links;
    if (now)
        *now = r->api->seen.now;
    return APR_SUCCESS;
}

/* ---- opening */

static apr_status_t prepare(rly *r, rly_wish *wish, const char **why)
{
    return APR_SUCCESS; /* the answer to opening has the host keys */
}

static json_t *texts(const char *const *of, int n)
{
    json_t *array = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(array, of[i] ? json_string(of[i]) : json_null());
    return array;
}

static json_t *body_of(const rly *r, const rly_wish *wish)
{
    const relay_order *order = wish->order;
    json_t *json =
        json_pack("{s:o, s:s, s:b, s:b, s:b, s:b}", "services",
                  texts(order->services, order->nservices), "public_key", wish->key->public_line,
                  "forwarded", wish->req.needs->forwarded, "old_tls", order->old_tls, "take_over",
                  wish->req.take_over, "tls", wish->tls);

    if (wish->req.device)
        json_object_set_new(json, "device", json_string(wish->req.device));
    if (wish->req.ttl)
        json_object_set_new(json, "ttl", json_string(relay_duration_print(wish->req.ttl, r->p)));
    if (order->nnames)
        json_object_set_new(json, "names", texts(order->names, order->nnames));
    if (order->host)
        json_object_set_new(json, "host", json_string(order->host));
    if (order->upgrade)
        json_object_set_new(json, "upgrade", texts(&order->upgrade, 1));
    return json;
}

/* The device will do what the answer says: it must be what was asked for. */
static apr_status_t check_opened(const relay_tunnel *t, const rly *r, const rly_wish *wish,
                                 const char **why)
{
    const relay_tunnel_request *req = &wish->req;
    const char *wrong = NULL;

    if (strcmp(t->key, req->fingerprint) != 0)
        wrong = "key";
    if (t->nroutes != req->nservices)
        wrong = "number of services";
    for (int i = 0; i < t->nroutes && !wrong; i++)
        if (strcmp(t->routes[i].service, req->services[i]->url) != 0)
            wrong = "service";
        else if (i < wish->order->nnames && req->names[i] &&
                 strcmp(t->routes[i].name, req->names[i]) != 0)
            wrong = "name";
    if (!wrong)
        return APR_SUCCESS;
    RELAY_WHY(why, r->p, "the API's answer cannot be used: it has another %s than was asked for",
              wrong);
    return RELAY_ERECORD;
}

/* Nobody will use what was opened, whatever it is: closes it, if that can be said. */
static void take_back(rly *r, const json_t *json)
{
    rly_members m = {.json = json, .p = r->p};
    const char *id = rly_member_label(&m, "id");
    rly_api_result result;

    if (id && rly_talk(&result, r, "DELETE", rly_talk_path(r, "/v1/tunnels", id), NULL, NULL) ==
                  APR_SUCCESS)
        json_decref(result.json);
}

static apr_status_t open_tunnel(relay_tunnel **out, rly *r, rly_wish *wish, const char **why)
{
    rly_answer_opened opened;
    rly_api_result result;
    apr_status_t rv = rly_talk(&result, r, "POST", "/v1/tunnels", body_of(r, wish), why);

    if (rv == APR_SUCCESS)
        rv = rly_answer_open(&opened, r->cfg, wish->tls, result.json, r->p, why);
    if (rv == APR_SUCCESS)
        rv = check_opened(opened.tunnel, r, wish, why);
    if (rv != APR_SUCCESS && result.json)
        take_back(r, result.json);
    json_decref(result.json);
    if (rv != APR_SUCCESS)
        return rv;
    wish->hostkeys = opened.hostkeys;
    wish->notes = opened.notes;
    *out = opened.tunnel;
    return APR_SUCCESS;
}

/* ---- changing */

static apr_status_t close_tunnel(rly *r, const relay_tunnel *t, const char **why)
{
    rly_api_result result;
    apr_status_t rv =
        rly_talk(&result, r, "DELETE", rly_talk_path(r, "/v1/tunnels", t->id), NULL, why);

    json_decref(result.json);
    /* Asked again: the first time has done it. */
    return rv == RELAY_EGONE && result.repeated ? APR_SUCCESS : rv;
}

static apr_status_t extend(rly *r, const relay_tunnel *t, apr_interval_time_t ttl,
                           apr_time_t *expires, const char **why)
{
    json_t *body = json_pack("{s:s}", "ttl", relay_duration_print(ttl, r->p));
    rly_api_result result;
    relay_tunnel *longer = NULL;
    apr_status_t rv =
        rly_talk(&result, r, "PATCH", rly_talk_path(r, "/v1/tunnels", t->id), body, why);

    if (rv == APR_SUCCESS)
        rv = rly_answer_tunnel(&longer, result.json, r->p, why);
    if (rv == APR_SUCCESS)
        *expires = longer->expires;
    json_decref(result.json);
    return rv;
}

/* ---- tokens */

static apr_status_t token_make(relay_token *t, const char **text, rly *r, relay_token_request *req,
                               const char **why)
{
    json_t *body = json_pack("{s:s, s:s, s:s}", "role", req->role, "label", req->label, "ttl",
                             relay_duration_print(req->ttl, r->p));
    /* Asked again it is not told again what the token is. */
    const rly_api_request ask = {.method = "POST", .path = "/v1/tokens", .body = body, .once = 1};
    rly_api_result result;
    apr_status_t rv;

    if (req->tenant)
        json_object_set_new(body, "tenant", json_string(req->tenant));
    rv = rly_api_call(&result, r->api->api, &ask, r->p, why);
    json_decref(body);
    if (rv == APR_SUCCESS)
        rv = rly_answer_token(t, text, result.json, r->p, why);
    json_decref(result.json);
    return rv;
}

static apr_status_t token_list(apr_array_header_t **out, rly *r, const char *tenant,
                               const char **why)
{
    return rly_talk_list(out, r, "/v1/tokens", tenant, rly_answer_tokens, why);
}

static apr_status_t token_revoke(apr_array_header_t **ids, rly *r, const char *id, const char **why)
{
    rly_api_result result;
    apr_status_t rv = rly_talk(&result, r, "DELETE", rly_talk_path(r, "/v1/tokens", id), NULL, why);

    if (rv == APR_SUCCESS)
        rv = rly_answer_revoked(ids, result.json, r->p, why);
    json_decref(result.json);
    if (rv == RELAY_ENOTFOUND && result.repeated) {
        *ids = apr_array_make(r->p, 1, sizeof(const char *));
        APR_ARRAY_PUSH(*ids, const char *) = id;
        return APR_SUCCESS;
    }
    return rv;
}

static const rly_way way = {.learn_domain = learn_domain,
                            .find = find,
                            .with_device = with_device,
                            .list = list,
                            .links = links,
                            .prepare = prepare,
                            .open = open_tunnel,
                            .close = close_tunnel,
                            .extend = extend,
                            .token_make = token_make,
                            .token_list = token_list,
                            .token_revoke = token_revoke,
                            .code_make = rly_fleet_code_make,
                            .code_list = rly_fleet_code_list,
                            .code_revoke = rly_fleet_code_revoke,
                            .device_list = rly_fleet_device_list,
                            .device_find = rly_fleet_device_find,
                            .device_alter = rly_fleet_device_alter,
                            .device_remove = rly_fleet_device_remove,
                            .relay_list = rly_fleet_relay_list,
                            .relay_drain = rly_fleet_relay_drain,
                            .events = rly_fleet_events};

/* ---- which API */

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* @param url out: NULL: the first one of rly.conf, if there is that file */
static int is_redis(const char **url, const rly *r)
{
    *url = r->api_url;
    if (*url || r->conf_path)
        return !*url;
    *url = from_environment("RELAY_API");
    return !*url && from_environment("RELAY_CONF");
}

static int use(rly *r, rly_place *place)
{
    relay_config *cfg = apr_pcalloc(r->p, sizeof(*cfg));
    const char *why = NULL;
    apr_status_t rv;

    if (r->cacert)
        place->cacert = r->cacert;
    r->api = apr_pcalloc(r->p, sizeof(*r->api));
    r->api->seen.links = relay_links_told(r->p);
    if ((rv = rly_api_create(&r->api->api, place, r->p, &why)) != APR_SUCCESS) {
        rly_error("%s", why);
        return rly_exit_status(rv);
    }
    cfg->file = place->url;
    cfg->name = "";
    r->cfg = cfg;
    r->way = &way;
    return RLY_DONE;
}

int rly_api_choose(int *chosen, rly *r)
{
    const char *file = rly_place_file(r->p), *url, *why = NULL;
    rly_place place;

    *chosen = 0;
    if (r->api_url && r->conf_path)
        return rly_usage_error(r, "--api goes over the API and -c straight to Redis: give one");
    if (is_redis(&url, r) || (!url && (!file || access(file, F_OK) != 0)))
        return RLY_DONE;
    if (url && rly_place_url(&url, url, r->p, &why) != APR_SUCCESS)
        return rly_usage_error(r, "%s", why);
    if (!file) {
        rly_error("there is no home directory, and so no .config/relay/rly.conf with a token");
        return RLY_REFUSED;
    }
    if (rly_place_find(&place, file, url, r->p, &why) != APR_SUCCESS) {
        rly_error("%s", why);
        return RLY_REFUSED;
    }
    *chosen = 1;
    return use(r, &place);
}
