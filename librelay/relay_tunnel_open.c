/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Opening a tunnel: the rules, the request to open.lua, and what it answers. */

#include "relay_tunnel.h"
#include "relay_actor_json.h"
#include "relay_duration.h"
#include "relay_grant.h"
#include "relay_issue.h"
#include "relay_name.h"
#include "relay_owner.h"
#include "relay_text.h"

#include <apr_file_info.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define RLYD_WAIT (2 * APR_USEC_PER_SEC)
#define RLYD_TRIES 40

/* ---- rules */

static apr_status_t check_request(const relay_config *cfg, const relay_tunnel_request *req,
                                  apr_pool_t *p, const char **why)
{
    if (req->nservices < 1 || req->nservices > RELAY_TUNNEL_ROUTES_MAX) {
        RELAY_WHY(why, p, "a tunnel has 1 to %d services, not %d", RELAY_TUNNEL_ROUTES_MAX,
                  req->nservices);
        return RELAY_EINPUT;
    }
    if (req->device &&
        (strlen(req->device) > RELAY_DEVICE_MAX || !relay_text_is_plain(req->device))) {
        RELAY_WHY(
            why, p,
            "the device's name must be at most %d bytes of UTF-8 without control characters and "
            "marks that turn the direction of text",
            RELAY_DEVICE_MAX);
        return RELAY_EINPUT;
    }
    if (!relay_fingerprint_is_valid(req->fingerprint)) {
        RELAY_WHY(why, p, "`%.60s' is not a SHA256 fingerprint", req->fingerprint);
        return RELAY_EINPUT;
    }
    if (req->ttl < 0) {
        RELAY_WHY(why, p, "the TTL must be longer than 0");
        return RELAY_EINPUT;
    }
    return relay_tunnel_ttl_check(cfg, req->ttl, p, why);
}

static apr_status_t check_chosen(const char *name, apr_pool_t *p, const char **why)
{
    const char *fault;

    if (relay_name_check(name, strlen(name), p, &fault) != APR_SUCCESS) {
        RELAY_WHY(why, p, "`%.80s' cannot be a name: %s", name, fault);
        return RELAY_EINPUT;
    }
    if (relay_name_is_reserved(name)) {
        RELAY_WHY(why, p, "the name `%s' is reserved for the relay itself: choose another", name);
        return RELAY_EREFUSED;
    }
    return APR_SUCCESS;
}

/* The name that was asked for, or NULL: random. */
static const char *chosen_name(const relay_tunnel_request *req, int i)
{
    return req->names ? req->names[i] : i == 0 ? req->name : NULL;
}

/* The names that were asked for, checked, and random ones for the rest. */
static apr_status_t make_names(const char **names, const relay_tunnel_request *req, apr_pool_t *p,
                               const char **why)
{
    apr_status_t rv;
    int i, j;

    for (i = 0; i < req->nservices; i++) {
        names[i] = chosen_name(req, i);
        if (!names[i]) {
            char *random = apr_palloc(p, RELAY_NAME_RANDOM_LEN + 1);

            if ((rv = relay_name_random(random)) != APR_SUCCESS) {
                RELAY_WHY(why, p, "the kernel gives no random bytes");
                return rv;
            }
            names[i] = random;
        }
        else if ((rv = check_chosen(names[i], p, why)) != APR_SUCCESS) {
            return rv;
        }
        for (j = 0; j < i; j++) {
            if (strcmp(names[i], names[j]) == 0) {
                RELAY_WHY(why, p, "the name `%s' is given twice", names[i]);
                return RELAY_EINPUT;
            }
        }
    }
    return APR_SUCCESS;
}

/* ---- the request */

static json_t *blocks_json(const relay_listen_space *space)
{
    json_t *blocks = json_array();
    int i;

    for (i = 0; i < space->nblocks; i++) {
        const relay_listen_block *b = &space->block[i];

        json_array_append_new(blocks,
                              json_pack("{s:I, s:I, s:i, s:i}", "first", (json_int_t)b->first,
                                        "count", (json_int_t)b->last - b->first + 1, "port",
                                        b->port_lo, "ports", b->port_hi - b->port_lo + 1));
    }
    return blocks;
}

static json_t *routes_json(const relay_tunnel_request *req, const char **names)
{
    json_t *routes = json_array();
    int i;

    for (i = 0; i < req->nservices; i++)
        json_array_append_new(routes,
                              json_pack("{s:s, s:s, s:s, s:b}", "name", names[i], "scheme",
                                        req->services[i]->scheme, "service", req->services[i]->url,
                                        "chosen", chosen_name(req, i) != NULL));
    return routes;
}

static const relay_needs *needs_of(const relay_tunnel_request *req)
{
    static const relay_needs none = RELAY_NEEDS_DEFAULT;

    return req->needs ? req->needs : &none;
}

static const char *switch_word(int on)
{
    return on ? "on" : "off";
}

static json_t *needs_json(const relay_needs *needs)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "host", needs->host, "forwarded",
                     switch_word(needs->forwarded), "upgrade", needs->upgrade, "old_tls",
                     switch_word(needs->old_tls));
}

/* The argument of open.lua, which says what the members are. @return NULL where a text is no UTF-8
 */
static const char *request_json(const char *id, const relay_config *cfg,
                                const relay_tunnel_request *req, const char **names,
                                apr_time_t latest, int insist, apr_pool_t *p)
{
    apr_interval_time_t ttl = req->ttl ? req->ttl : cfg->ttl;
    /* taken: where this host's processes listen, which rlyd may not have told yet. rly mostly runs
     * on the relay; elsewhere it passes over a port or two for nothing. */
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:s, s:o*, s:I, s:I, s:I, s:s, s:b, s:o, s:o, s:s, s:b, s:o}",
        "id", id, "relay", cfg->name, "device", req->device ? req->device : "", "key",
        req->fingerprint, "actor", relay_actor_json(&req->actor), "tenant",
        relay_actor_text(req->tenant), "once", relay_once_json(req->once), "ttl",
        (json_int_t)apr_time_as_msec(ttl), "cooldown", (json_int_t)apr_time_as_msec(cfg->cooldown),
        "latest", (json_int_t)apr_time_as_msec(latest), "space",
        relay_issue_space_word(relay_issue_space(cfg)), "insist", insist, "blocks",
        blocks_json(cfg->listen), "routes", routes_json(req, names), "taken",
        relay_owner_taken(cfg->listen, p), "take_over", req->take_over != 0, "needs",
        needs_json(needs_of(req)));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *copy = text ? apr_pstrdup(p, text) : NULL;

    free(text);
    json_decref(json);
    return copy;
}

/* ---- the answer */

static apr_status_t open_refused(const redisReply *reply, const relay_config *cfg, apr_pool_t *p,
                                 const char **why)
{
    const char *what = relay_script_word(reply, 0);

    if (strcmp(what, "name") == 0)
        RELAY_WHY(why, p,
                  "the name `%s' is taken by another tunnel: choose another, or close that one",
                  relay_script_word(reply, 1));
    else if (strcmp(what, "key") == 0)
        RELAY_WHY(why, p,
                  "this key already belongs to %s: a key opens one tunnel; close that one "
                  "first, or use another key",
                  *relay_script_word(reply, 1)
                      ? apr_pstrcat(p, "tunnel ", relay_script_word(reply, 1), NULL)
                      : "another tunnel");
    else if (strcmp(what, "full") == 0)
        RELAY_WHY(
            why, p,
            "the listen space is used up: each of its %" APR_UINT64_T_FMT
            " addresses is in use or cooling "
            "down%s; widen [relay] listen (now %s), close tunnels, or wait for the cooldown of %s",
            cfg->listen->size,
            *relay_script_word(reply, 2) == '0'
                ? ""
                : apr_psprintf(p,
                               ", or other processes listen there (%s of "
                               "them; on the relay `ss -ltnp' shows by whom)",
                               relay_script_word(reply, 2)),
            cfg->listen->text, relay_duration_print(cfg->cooldown, p));
    else if (strcmp(what, "held") == 0)
        relay_handover_refused(relay_script_word(reply, 1), relay_script_word(reply, 2),
                               relay_script_word(reply, 3), p, why);
    else if (strcmp(what, "foreign") == 0)
        relay_handover_foreign(relay_script_word(reply, 1), relay_script_word(reply, 2), p, why);
    else if (strcmp(what, "version") == 0)
        RELAY_WHY(why, p, "record %s has version %s, this program knows up to %d: upgrade it",
                  relay_script_word(reply, 1), relay_script_word(reply, 2), RELAY_RECORD_VERSION);
    else if (strcmp(what, "id") == 0)
        RELAY_WHY(why, p, "the id of the new tunnel is taken: try again");
    else if (strcmp(what, "wait") == 0 || strcmp(what, "refused") == 0)
        return relay_issue_refused(cfg, relay_script_word(reply, 1), relay_script_word(reply, 2), p,
                                   why);
    else if (strcmp(what, "other") == 0)
        return RELAY_EREUSED;
    else
        return relay_script_unknown(RELAY_SCRIPT_OPEN, p, why);
    return RELAY_EREFUSED;
}

/*
 * Runs open.lua, and again while it answers `wait': rlyd's word may come in a moment. A relay of
 * which nothing is known, and on which no rlyd has left its socket, has no rlyd: then the request
 * insists.
 */
static apr_status_t ask_open(redisReply **reply, const char *id, relay_store *s,
                             const relay_config *cfg, const relay_tunnel_request *req,
                             const char **names, apr_pool_t *p, const char **why)
{
    apr_finfo_t info;
    int tries, insist = 0;

    for (tries = 0;; tries++) {
        const char *json;
        apr_time_t latest;
        apr_status_t rv = relay_store_deadline(&latest, s, p, why);

        if (rv != APR_SUCCESS)
            return rv;
        if ((json = request_json(id, cfg, req, names, latest, insist, p)) == NULL) {
            RELAY_WHY(why, p, "the text that says who opens the tunnel is not UTF-8");
            return RELAY_EINPUT;
        }
        rv = relay_store_script(s, reply, RELAY_SCRIPT_OPEN, 1, &json, p, why);
        if (rv != APR_SUCCESS || strcmp(relay_script_word(*reply, 0), "wait") != 0)
            return rv;
        if (tries >= RLYD_TRIES) {
            if (strcmp(relay_script_word(*reply, 1), "new") != 0 || insist ||
                !APR_STATUS_IS_ENOENT(apr_stat(&info, cfg->rlyd_socket, APR_FINFO_TYPE, p)))
                return APR_SUCCESS;
            insist = 1;
        }
        freeReplyObject(*reply);
        apr_sleep(RLYD_WAIT / RLYD_TRIES);
    }
}

/* Closes what was opened, but not confirmed: its key goes to nobody. Whatever primary there is in
 * the end, it has both or the close is of no matter, or the tunnel is left without a device. */
static void take_back(relay_store *s, const relay_config *cfg, const char *id,
                      const relay_tunnel_request *req, apr_pool_t *p, const char **why)
{
    apr_status_t rv = relay_tunnel_close(s, cfg, id, &req->actor, p, NULL);

    if (why)
        *why = apr_psprintf(p, "%s; tunnel %s %s", *why, id,
                            rv == APR_SUCCESS || rv == RELAY_EUNCONFIRMED
                                ? "is closed again"
                                : "could not be closed again: if `rly list' shows it, close it");
}

/* Makes the tunnel of the answer `ok'. */
static apr_status_t read_opened(relay_tunnel **out, const redisReply *reply,
                                const relay_config *cfg, const relay_tunnel_request *req,
                                apr_pool_t *p, const char **why)
{
    relay_tunnel *t = apr_pcalloc(p, sizeof(*t));
    apr_size_t i, n = (apr_size_t)req->nservices;

    t->id = apr_pstrdup(p, relay_script_word(reply, 1));
    t->device = apr_pstrdup(p, req->device ? req->device : "");
    t->relay = cfg->name;
    t->key = apr_pstrdup(p, req->fingerprint);
    t->state = "open";
    t->by = apr_pstrdup(p, relay_actor_text(req->actor.by));
    t->tenant = apr_pstrdup(p, relay_actor_text(req->tenant));
    t->needs = *needs_of(req);
    if (!relay_time_parse(&t->created, relay_script_word(reply, 2)) ||
        !relay_time_parse(&t->expires, relay_script_word(reply, 3)))
        return relay_script_unknown(RELAY_SCRIPT_OPEN, p, why);
    t->nroutes = req->nservices;
    t->routes = apr_pcalloc(p, n * sizeof(*t->routes));
    for (i = 0; i < n; i++) {
        t->routes[i].name = apr_pstrdup(p, relay_script_word(reply, 4 + i));
        t->routes[i].service = req->services[i]->url;
        if (relay_listen_addr_parse(&t->routes[i].listen, relay_script_word(reply, 4 + n + i)) !=
            APR_SUCCESS)
            return relay_script_unknown(RELAY_SCRIPT_OPEN, p, why);
        relay_handover_read(&t->routes[i].handover, relay_script_word(reply, 4 + 2 * n + i),
                            relay_script_word(reply, 4 + 3 * n + i), p);
    }
    *out = t;
    return APR_SUCCESS;
}

apr_status_t relay_tunnel_open(relay_tunnel **out, relay_store *s, const relay_config *cfg,
                               const relay_tunnel_request *req, apr_pool_t *p, const char **why)
{
    const char **names = apr_palloc(p, RELAY_TUNNEL_ROUTES_MAX * sizeof(*names));
    char *id = apr_palloc(p, RELAY_NAME_RANDOM_LEN + 1);
    redisReply *reply;
    apr_status_t rv;

    if ((rv = check_request(cfg, req, p, why)) != APR_SUCCESS ||
        (rv = make_names(names, req, p, why)) != APR_SUCCESS ||
        (rv = relay_name_random(id)) != APR_SUCCESS)
        return rv;
    id[RELAY_TUNNEL_ID_LEN] = '\0';
    rv = ask_open(&reply, id, s, cfg, req, names, p, why);
    if (rv == RELAY_EUNCONFIRMED && !req->once) /* else asking again gives the same tunnel */
        take_back(s, cfg, id, req, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    rv = strcmp(relay_script_word(reply, 0), "ok") == 0 ? read_opened(out, reply, cfg, req, p, why)
                                                        : open_refused(reply, cfg, p, why);
    freeReplyObject(reply);
    return rv;
}
