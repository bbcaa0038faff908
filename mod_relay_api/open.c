/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Opening a tunnel. The caller brings the public half of the device's key: a private key that an
 * API made would be in the answer, and so in each proxy and log on the way, and in Redis under the
 * Idempotency-Key.
 */

#include "answer.h"
#include "body.h"
#include "relay_connect.h"
#include "relay_duration.h"
#include "relay_key.h"
#include "relay_order.h"
#include "relay_pin.h"
#include "relay_tunnel_json.h"

typedef struct open_words {
    const char *device, *ttl, *public_key, *tenant, *host;
    apr_array_header_t *services, *names, *upgrade;
    int old_tls, take_over, tls;
    int forwarded; /* 1 unless it is said to be false */
} open_words;

static const api_member members[] = {
    {"services", API_TEXTS, 1, 0, offsetof(open_words, services)},
    {"public_key", API_TEXT, 1, 0, offsetof(open_words, public_key)},
    {"device", API_TEXT, 0, 1, offsetof(open_words, device)},
    {"tenant", API_TEXT, 0, 1, offsetof(open_words, tenant)},
    {"ttl", API_TEXT, 0, 1, offsetof(open_words, ttl)},
    {"names", API_TEXTS, 0, 1, offsetof(open_words, names)},
    {"host", API_TEXT, 0, 1, offsetof(open_words, host)},
    {"forwarded", API_SWITCH, 0, 0, offsetof(open_words, forwarded)},
    {"upgrade", API_TEXTS, 0, 0, offsetof(open_words, upgrade)},
    {"old_tls", API_SWITCH, 0, 0, offsetof(open_words, old_tls)},
    {"take_over", API_SWITCH, 0, 0, offsetof(open_words, take_over)},
    {"tls", API_SWITCH, 0, 0, offsetof(open_words, tls)},
    {NULL, API_TEXT, 0, 0, 0}};

/* The member of the body that a refused word stands in. */
static const char *member_of(const relay_order_fault *fault, apr_pool_t *p)
{
    static const char *const names[] = {
        [RELAY_ORDER_SERVICE] = "services",    [RELAY_ORDER_NAME] = "names",
        [RELAY_ORDER_NAMES] = "names",         [RELAY_ORDER_HOST] = "host",
        [RELAY_ORDER_FORWARDED] = "forwarded", [RELAY_ORDER_UPGRADE] = "upgrade"};

    return fault->index < 0 || fault->word == RELAY_ORDER_NAMES
               ? names[fault->word]
               : apr_psprintf(p, "%s.%d", names[fault->word], fault->index);
}

/* @return DECLINED where the request is all right as far as it can be told */
static int check_order(api_call *c, relay_tunnel_request *req, const open_words *words)
{
    relay_order order = {.nservices = words->services->nelts,
                         .services = (const char *const *)words->services->elts,
                         .host = words->host,
                         .forwarded = words->forwarded ? NULL : "off",
                         .old_tls = words->old_tls};
    relay_order_fault fault;
    const char *member;

    if (words->names) {
        order.nnames = words->names->nelts;
        order.names = (const char *const *)words->names->elts;
    }
    if (words->upgrade && words->upgrade->nelts)
        order.upgrade = apr_array_pstrcat(c->p, words->upgrade, ',');
    if (relay_order_check(req, &order, c->p, &fault) != APR_SUCCESS) {
        member = member_of(&fault, c->p);
        return api_problem_of(c, API_UNACCEPTABLE, member, "%s: %s", member, fault.why);
    }
    return DECLINED;
}

/* @return DECLINED where the request is all right as far as it can be told */
static int read_request(api_call *c, relay_tunnel_request *req, const open_words *words)
{
    const char *why = NULL;
    relay_key *key;
    int refused = check_order(c, req, words);

    if (refused != DECLINED)
        return refused;
    if (words->ttl && relay_duration_parse(&req->ttl, words->ttl, c->p, &why) != APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: %s", why);
    if (words->ttl && req->ttl == 0)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl",
                              "ttl: a tunnel has to live for some time, for example 2h");
    if (relay_key_parse(&key, words->public_key, strlen(words->public_key), c->p, &why) !=
        APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "public_key", "public_key: %s", why);
    if (c->token.tenant && words->tenant && strcmp(words->tenant, c->token.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token opens tunnels of its own tenant only");
    req->tenant = words->tenant ? words->tenant : c->token.tenant;
    req->fingerprint = key->fingerprint;
    req->device = words->device;
    req->take_over = words->take_over;
    req->actor = c->actor;
    req->once = c->once;
    return DECLINED;
}

/* What the caller should know, as `rly open' says it; NULL where there is nothing. */
static json_t *notes_of(const relay_tunnel *t, apr_pool_t *p)
{
    json_t *notes = json_array();

    for (int i = 0; i < t->nroutes; i++) {
        const relay_tunnel_route *route = &t->routes[i];
        const char *both[] = {relay_handover_note(&route->handover, route->name, t->device, p),
                              relay_connect_note(route->service, t->needs.host, p)};

        for (int j = 0; j < 2; j++)
            if (both[j])
                json_array_append_new(notes, relay_json_text(both[j], p));
    }
    return notes;
}

static json_t *opened_json(api_call *c, const relay_tunnel *t, int tls,
                           const apr_array_header_t *hostkeys)
{
    json_t *json =
        relay_opened_json(c->cfg, t, relay_connect_command(c->cfg, t, tls, c->p), tls, NULL, c->p);
    json_t *keys = json_array();

    for (int i = 0; i < hostkeys->nelts; i++)
        json_array_append_new(keys,
                              relay_json_text(APR_ARRAY_IDX(hostkeys, i, const char *), c->p));
    json_object_set_new(json_object_get(json, "ssh"), "host_keys", keys);
    json_object_set_new(json, "created", relay_json_time(t->created, c->p));
    relay_place_json(json, c->cfg, c->p);
    json_object_set_new(json, "tenant", relay_json_text(*t->tenant ? t->tenant : NULL, c->p));
    json_object_set_new(json, "warnings", notes_of(t, c->p));
    json_object_del(json, "bundle");
    return json;
}

int api_tunnels_open(api_call *c)
{
    open_words words = {.forwarded = 1};
    relay_tunnel_request req = {.device = NULL};
    apr_array_header_t *hostkeys;
    const char *why = NULL;
    relay_tunnel *t;
    apr_status_t rv;
    int refused;

    if (!api_body_read(c, &words, members, &refused) ||
        (refused = read_request(c, &req, &words)) != DECLINED)
        return refused;
    /* All that can fail does so before a tunnel is opened. */
    if ((rv = relay_pin_read(&hostkeys, c->cfg, c->store, c->p, &why)) != APR_SUCCESS)
        return api_problem_why(c, rv == RELAY_EUNREACHABLE ? rv : RELAY_ERECORD,
                               apr_psprintf(c->p, "the relay's host keys are not known: %s",
                                            why ? why : "start rlyd"));
    if ((rv = relay_tunnel_open(&t, c->store, c->cfg, &req, c->p, &why)) != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    apr_table_setn(c->r->headers_out, "Location", apr_pstrcat(c->p, "/v1/tunnels/", t->id, NULL));
    return api_answer(c, HTTP_CREATED, opened_json(c, t, words.tls, hostkeys));
}
