/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_tunnel.h"
#include "relay_duration.h"
#include "relay_log.h"
#include "relay_name.h"
#include "relay_owner.h"
#include "relay_text.h"

#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_tables.h>
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
    if (req->ttl > cfg->ttl_max) {
        RELAY_WHY(why, p, "a TTL of %s is over the limit of %s ([relay] ttl-max)",
                  relay_duration_print(req->ttl, p), relay_duration_print(cfg->ttl_max, p));
        return RELAY_EREFUSED;
    }
    return APR_SUCCESS;
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

/* ---- open */

static const char *number(apr_int64_t n, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, n);
}

static void push(apr_array_header_t *args, const char *value)
{
    APR_ARRAY_PUSH(args, const char *) = value;
}

/* ARGV of open.lua; `insist` as it says there. */
static apr_array_header_t *open_args(const char *id, const relay_config *cfg,
                                     const relay_tunnel_request *req, const char **names,
                                     const char *latest, int insist, apr_pool_t *p)
{
    apr_array_header_t *args = apr_array_make(p, 64, sizeof(const char *));
    int i;

    push(args, id);
    push(args, cfg->name);
    push(args, req->device ? req->device : "");
    push(args, req->fingerprint);
    push(args, req->by ? req->by : "");
    push(args, number(apr_time_as_msec(req->ttl ? req->ttl : cfg->ttl), p));
    push(args, number(apr_time_as_msec(cfg->cooldown), p));
    push(args, latest);
    push(args, cfg->listen->size >= RELAY_LISTEN_WIDE ? "wide"
               : relay_config_is_narrow(cfg)          ? "narrow"
                                                      : "roomy");
    push(args, insist ? "1" : "0");
    push(args, number(cfg->listen->nblocks, p));
    for (i = 0; i < cfg->listen->nblocks; i++) {
        const relay_listen_block *b = &cfg->listen->block[i];

        push(args, number(b->first, p));
        push(args, number((apr_int64_t)b->last - b->first + 1, p));
        push(args, number(b->port_lo, p));
        push(args, number(b->port_hi - b->port_lo + 1, p));
    }
    push(args, number(req->nservices, p));
    for (i = 0; i < req->nservices; i++) {
        push(args, names[i]);
        push(args, req->services[i]->scheme);
        push(args, req->services[i]->url);
    }
    /* This host's, where rlyd has not told yet: rly runs on the relay mostly. Elsewhere a port or
     * two is passed over. */
    push(args, relay_owner_taken(cfg->listen, p));
    push(args, req->take_over ? "1" : "0");
    for (i = 0; i < req->nservices; i++)
        push(args, chosen_name(req, i) ? "1" : "0");
    return args;
}

static const char *text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? reply->str : "";
}

static const char *element(const redisReply *reply, size_t i)
{
    return i < reply->elements ? text_of(reply->element[i]) : "";
}

static apr_status_t bad_answer(const char *script, apr_pool_t *p, const char **why)
{
    RELAY_WHY(why, p, "script `%s' gave an answer of an unknown form", script);
    return RELAY_ERECORD;
}

static const char *span(const char *ms, apr_pool_t *p)
{
    apr_interval_time_t t = apr_time_from_msec(apr_atoi64(ms)) + APR_USEC_PER_SEC - 1;

    return relay_duration_print(t - t % APR_USEC_PER_SEC, p);
}

/** Where addresses come back, one that does might still lead to the device that had it before. */
static apr_status_t open_unsure(const redisReply *reply, const relay_config *cfg, apr_pool_t *p,
                                const char **why)
{
    const char *what = element(reply, 0);

    if (strcmp(what, "lost") == 0)
        RELAY_WHY(why, p,
                  "Redis has lost what it knew of %s, and with it which listen addresses may not "
                  "come back yet; "
                  "the cooldown is over in %s: open the tunnel then",
                  cfg->name, span(element(reply, 1), p));
    else if (strcmp(what, "unseen") == 0)
        RELAY_WHY(why, p,
                  "rlyd on %s last looked %s ago which listen addresses are in use, longer ago "
                  "than half the cooldown "
                  "of %s: an address that comes back might still lead to the device that had it "
                  "before; start rlyd there, "
                  "and open the tunnel then",
                  cfg->name, span(element(reply, 1), p), relay_duration_print(cfg->cooldown, p));
    else
        RELAY_WHY(why, p,
                  "rlyd on %s has not looked which listen addresses are in use since Redis "
                  "started: an address that "
                  "comes back might still lead to the device that had it before; start rlyd there, "
                  "and open the tunnel then",
                  cfg->name);
    return RELAY_EUNREACHABLE;
}

static apr_status_t open_refused(const redisReply *reply, const relay_config *cfg, apr_pool_t *p,
                                 const char **why)
{
    const char *what = element(reply, 0);

    if (strcmp(what, "name") == 0)
        RELAY_WHY(why, p,
                  "the name `%s' is taken by another tunnel: choose another, or close that one",
                  element(reply, 1));
    else if (strcmp(what, "key") == 0)
        RELAY_WHY(why, p,
                  "this key already belongs to tunnel %s: a key opens one tunnel; close that one "
                  "first, or use another key",
                  element(reply, 1));
    else if (strcmp(what, "full") == 0)
        RELAY_WHY(
            why, p,
            "the listen space is used up: each of its %" APR_UINT64_T_FMT
            " addresses is in use or cooling "
            "down%s; widen [relay] listen (now %s), close tunnels, or wait for the cooldown of %s",
            cfg->listen->size,
            *element(reply, 2) == '0' ? ""
                                      : apr_psprintf(p,
                                                     ", or other processes listen there (%s of "
                                                     "them; on the relay `ss -ltnp' shows by whom)",
                                                     element(reply, 2)),
            cfg->listen->text, relay_duration_print(cfg->cooldown, p));
    else if (strcmp(what, "held") == 0)
        relay_handover_refused(element(reply, 1), element(reply, 2), element(reply, 3), p, why);
    else if (strcmp(what, "version") == 0)
        RELAY_WHY(why, p, "record %s has version %s, this program knows up to %d: upgrade it",
                  element(reply, 1), element(reply, 2), RELAY_RECORD_VERSION);
    else if (strcmp(what, "id"))
        return open_unsure(reply, cfg, p, why);
    else
        RELAY_WHY(why, p, "the id of the new tunnel is taken: try again");
    return RELAY_EREFUSED;
}

/*
 * Runs open.lua; where it takes rlyd's word to open a tunnel, and there is none yet, that is waited
 * for. On a relay that has no rlyd none comes; but one that has left its socket has one, which is
 * away.
 */
static apr_status_t ask_open(redisReply **reply, const char *id, relay_store *s,
                             const relay_config *cfg, const relay_tunnel_request *req,
                             const char **names, apr_pool_t *p, const char **why)
{
    apr_finfo_t info;
    int tries, insist = 0;

    for (tries = 0;; tries++) {
        const char *latest, *what;
        apr_array_header_t *args;
        apr_status_t rv = relay_store_deadline(&latest, s, p, why);

        if (rv != APR_SUCCESS)
            return rv;
        args = open_args(id, cfg, req, names, latest, insist, p);
        rv = relay_store_script(s, reply, RELAY_SCRIPT_OPEN, args->nelts, (const char **)args->elts,
                                p, why);
        if (rv != APR_SUCCESS)
            return rv;
        what = element(*reply, 0);
        if (strcmp(what, "new") && strcmp(what, "restarted") && strcmp(what, "unseen"))
            return APR_SUCCESS;
        if (tries >= RLYD_TRIES) {
            if (strcmp(what, "new") || insist ||
                !APR_STATUS_IS_ENOENT(apr_stat(&info, cfg->rlyd_socket, APR_FINFO_TYPE, p)))
                return APR_SUCCESS;
            insist = 1;
        }
        freeReplyObject(*reply);
        apr_sleep(RLYD_WAIT / RLYD_TRIES);
    }
}

apr_status_t relay_tunnel_open(relay_tunnel **out, relay_store *s, const relay_config *cfg,
                               const relay_tunnel_request *req, apr_pool_t *p, const char **why)
{
    const char **names = apr_palloc(p, RELAY_TUNNEL_ROUTES_MAX * sizeof(*names));
    char *id = apr_palloc(p, RELAY_NAME_RANDOM_LEN + 1);
    relay_tunnel *t;
    redisReply *reply;
    apr_status_t rv;
    int i;

    if ((rv = check_request(cfg, req, p, why)) != APR_SUCCESS ||
        (rv = make_names(names, req, p, why)) != APR_SUCCESS ||
        (rv = relay_name_random(id)) != APR_SUCCESS)
        return rv;
    id[RELAY_TUNNEL_ID_LEN] = '\0';
    if ((rv = ask_open(&reply, id, s, cfg, req, names, p, why)) != APR_SUCCESS)
        return rv;
    if (strcmp(element(reply, 0), "ok")) {
        rv = open_refused(reply, cfg, p, why);
        goto out;
    }
    t = apr_pcalloc(p, sizeof(*t));
    t->id = id;
    t->device = apr_pstrdup(p, req->device ? req->device : "");
    t->relay = cfg->name;
    t->key = apr_pstrdup(p, req->fingerprint);
    t->state = "open";
    t->by = apr_pstrdup(p, req->by ? req->by : "");
    if (!relay_time_parse(&t->created, element(reply, 1)) ||
        !relay_time_parse(&t->expires, element(reply, 2))) {
        rv = bad_answer("open", p, why);
        goto out;
    }
    t->nroutes = req->nservices;
    t->routes = apr_pcalloc(p, (apr_size_t)t->nroutes * sizeof(*t->routes));
    for (i = 0; i < t->nroutes; i++) {
        t->routes[i].name = names[i];
        t->routes[i].service = req->services[i]->url;
        if (relay_listen_addr_parse(&t->routes[i].listen, element(reply, (size_t)i + 3)) !=
            APR_SUCCESS) {
            rv = bad_answer("open", p, why);
            goto out;
        }
        relay_handover_read(&t->routes[i].handover, element(reply, (size_t)(i + t->nroutes) + 3),
                            element(reply, (size_t)(i + 2 * t->nroutes) + 3), p);
    }
    *out = t;
out:
    freeReplyObject(reply);
    return rv;
}

/* ---- reading */

static apr_time_t time_of(const redisReply *hash, const char *field)
{
    apr_time_t time = 0;

    relay_time_parse(&time, relay_reply_field(hash, field));
    return time;
}

static const char *string_of(const redisReply *hash, const char *field, apr_pool_t *p)
{
    const char *v = relay_reply_field(hash, field);

    return v ? apr_pstrdup(p, v) : NULL;
}

static apr_status_t read_tunnel(relay_tunnel **out, const redisReply *hash, const char *key,
                                apr_time_t now, apr_pool_t *p, const char **why)
{
    relay_tunnel *t = apr_pcalloc(p, sizeof(*t));
    const char *v, *bad = NULL;
    apr_status_t rv;
    int i;

    if ((rv = relay_reply_version(hash, key, p, why)) != APR_SUCCESS)
        return rv;
    t->id = string_of(hash, "id", p);
    t->relay = string_of(hash, "relay", p);
    t->key = string_of(hash, "key", p);
    t->state = string_of(hash, "state", p);
    t->device = string_of(hash, "device", p);
    t->by = string_of(hash, "by", p);
    t->created = time_of(hash, "created");
    t->expires = time_of(hash, "expires");
    t->ended = time_of(hash, "ended");
    v = relay_reply_field(hash, "routes");
    t->nroutes = v && apr_isdigit(*v) && strlen(v) <= 4 ? (int)apr_atoi64(v) : 0;
    bad = !t->id                                                   ? "id"
          : !t->relay                                              ? "relay"
          : !t->key                                                ? "key"
          : !t->state                                              ? "state"
          : t->expires <= 0                                        ? "expires"
          : t->nroutes < 1 || t->nroutes > RELAY_TUNNEL_ROUTES_MAX ? "routes"
                                                                   : NULL;
    if (!t->device)
        t->device = "";
    if (!t->by)
        t->by = "";
    if (!bad)
        t->routes = apr_pcalloc(p, (apr_size_t)t->nroutes * sizeof(*t->routes));
    for (i = 0; !bad && i < t->nroutes; i++) {
        t->routes[i].name = string_of(hash, apr_psprintf(p, "name.%d", i), p);
        t->routes[i].service = string_of(hash, apr_psprintf(p, "service.%d", i), p);
        v = relay_reply_field(hash, apr_psprintf(p, "listen.%d", i));
        if (!t->routes[i].name || !t->routes[i].service || !v ||
            relay_listen_addr_parse(&t->routes[i].listen, v) != APR_SUCCESS)
            bad = apr_psprintf(p, "name.%d, listen.%d or service.%d", i, i, i);
    }
    if (bad) {
        RELAY_WHY(why, p, "record %s is malformed: field %s", key, bad);
        return RELAY_ERECORD;
    }
    if (strcmp(t->state, "open") == 0 && t->expires <= now)
        t->state = "expired";
    *out = t;
    return APR_SUCCESS;
}

/* A tunnel from the answer to HGETALL; RELAY_ENOTFOUND when there is no such record. */
static apr_status_t tunnel_of_reply(relay_tunnel **out, relay_store *s, const redisReply *reply,
                                    const char *key, apr_time_t now, apr_pool_t *p,
                                    const char **why)
{
    apr_status_t rv = relay_store_check(s, reply, key, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    return reply->elements ? read_tunnel(out, reply, key, now, p, why) : RELAY_ENOTFOUND;
}

static apr_status_t load_tunnel(relay_tunnel **out, relay_store *s, const char *id, apr_time_t now,
                                apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, "tunnel:", id), *argv[] = {"HGETALL", key};
    relay_store_cmd cmd = {2, argv, NULL};
    redisReply *reply;
    apr_status_t rv = relay_store_read(s, &cmd, 1, &reply, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    rv = tunnel_of_reply(out, s, reply, key, now, p, why);
    freeReplyObject(reply);
    return rv;
}

/* The tunnel that a route: or gone: record names, or NULL. */
static apr_status_t holder_of(const char **id, relay_store *s, const char *kind, const char *name,
                              apr_pool_t *p, const char **why)
{
    const char *argv[] = {"HGET", relay_store_key(s, p, kind, name), "tunnel"};
    redisReply *reply;
    apr_status_t rv = relay_store_command(s, &reply, 3, argv, NULL, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    *id = reply->type == REDIS_REPLY_STRING ? apr_pstrdup(p, reply->str) : NULL;
    freeReplyObject(reply);
    return APR_SUCCESS;
}

static apr_status_t no_such_tunnel(const char *id_or_name, apr_pool_t *p, const char **why)
{
    RELAY_WHY(why, p, "there is no tunnel with the id or name `%.80s'", id_or_name);
    return RELAY_ENOTFOUND;
}

apr_status_t relay_tunnel_find(relay_tunnel **out, relay_store *s, const char *id_or_name,
                               apr_pool_t *p, const char **why)
{
    static const char *const kinds[] = {"route:", "gone:"};
    const char *id;
    apr_time_t now;
    apr_status_t rv;
    int i;

    /* Ids have the form of labels as well. */
    if (relay_name_check(id_or_name, strlen(id_or_name), NULL, NULL) != APR_SUCCESS)
        return no_such_tunnel(id_or_name, p, why);
    if ((rv = relay_store_now(&now, s, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = load_tunnel(out, s, id_or_name, now, p, why)) != RELAY_ENOTFOUND)
        return rv;
    for (i = 0; i < 2; i++) {
        if ((rv = holder_of(&id, s, kinds[i], id_or_name, p, why)) != APR_SUCCESS)
            return rv;
        if (id && (rv = load_tunnel(out, s, id, now, p, why)) != RELAY_ENOTFOUND)
            return rv;
    }
    return no_such_tunnel(id_or_name, p, why);
}

/* So many records are asked for in one round trip: a list of thousands waits for a few answers
 * only, and neither side has to hold all of it at once. */
#define LIST_BATCH 256

/* Adds the tunnels with these ids to a list. */
static apr_status_t load_batch(apr_array_header_t *list, relay_store *s, redisReply *const *ids,
                               int n, apr_time_t now, apr_pool_t *p, const char **why)
{
    const char *argv[LIST_BATCH][2];
    relay_store_cmd cmds[LIST_BATCH];
    redisReply *replies[LIST_BATCH];
    apr_status_t rv;
    int i;

    for (i = 0; i < n; i++) {
        argv[i][0] = "HGETALL";
        argv[i][1] = relay_store_key(s, p, "tunnel:", text_of(ids[i]));
        cmds[i] = (relay_store_cmd){2, argv[i], NULL};
    }
    if ((rv = relay_store_read(s, cmds, n, replies, p, why)) != APR_SUCCESS)
        return rv;
    for (i = 0; i < n && rv == APR_SUCCESS; i++) {
        const char *fault = "its record is missing";
        relay_tunnel *t;

        rv = tunnel_of_reply(&t, s, replies[i], argv[i][1], now, p, &fault);
        if (rv == APR_SUCCESS && strcmp(t->state, "open") == 0) {
            APR_ARRAY_PUSH(list, relay_tunnel *) = t;
        }
        else if (rv == RELAY_ERECORD || rv == RELAY_ENOTFOUND) {
            relay_log(RELAY_LOG_WARNING, "RLY001 tunnel %s is left out: %s", text_of(ids[i]),
                      fault);
            rv = APR_SUCCESS;
        }
        else if (rv != APR_SUCCESS) {
            RELAY_WHY(why, p, "%s", fault);
        }
    }
    relay_store_free(replies, n);
    return rv;
}

apr_status_t relay_tunnel_list(apr_array_header_t **out, relay_store *s, apr_pool_t *p,
                               const char **why)
{
    const char *argv[] = {"ZRANGEBYSCORE", relay_store_key(s, p, "tunnels", ""), NULL, "+inf"};
    apr_array_header_t *list = apr_array_make(p, 16, sizeof(relay_tunnel *));
    redisReply *ids;
    apr_time_t now;
    apr_status_t rv;
    int i, n, total;

    if ((rv = relay_store_now(&now, s, p, why)) != APR_SUCCESS)
        return rv;
    argv[2] = number(apr_time_as_msec(now), p);
    if ((rv = relay_store_command(s, &ids, 4, argv, NULL, p, why)) != APR_SUCCESS)
        return rv;
    total = ids->type == REDIS_REPLY_ARRAY ? (int)ids->elements : 0;
    for (i = 0; i < total && rv == APR_SUCCESS; i += n) {
        n = total - i < LIST_BATCH ? total - i : LIST_BATCH;
        rv = load_batch(list, s, ids->element + i, n, now, p, why);
    }
    freeReplyObject(ids);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

/* ---- close and extend */

/* What close.lua and extend.lua have in common to say. */
static apr_status_t change_refused(const redisReply *reply, const char *id, apr_pool_t *p,
                                   const char **why)
{
    const char *what = element(reply, 0);

    if (strcmp(what, "none") == 0)
        return no_such_tunnel(id, p, why);
    if (strcmp(what, "gone") == 0) {
        RELAY_WHY(why, p, "tunnel %s has already ended: it %s", id,
                  strcmp(element(reply, 1), "closed") ? "has expired" : "was closed");
        return RELAY_EGONE;
    }
    RELAY_WHY(why, p, "record tunnel:%s has version %.20s, this program knows up to %d: upgrade it",
              id, element(reply, 1), RELAY_RECORD_VERSION);
    return RELAY_ERECORD;
}

apr_status_t relay_tunnel_close(relay_store *s, const relay_config *cfg, const char *id,
                                const char *by, apr_pool_t *p, const char **why)
{
    const char *args[] = {id, number(apr_time_as_msec(cfg->cooldown), p), by};
    redisReply *reply;
    apr_status_t rv = relay_store_script(s, &reply, RELAY_SCRIPT_CLOSE, 3, args, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(element(reply, 0), "ok"))
        rv = change_refused(reply, id, p, why);
    freeReplyObject(reply);
    return rv;
}

apr_status_t relay_tunnel_extend(relay_store *s, const relay_config *cfg, const char *id,
                                 apr_interval_time_t ttl, const char *by, apr_time_t *expires,
                                 apr_pool_t *p, const char **why)
{
    const char *args[] = {id, number(apr_time_as_msec(ttl), p),
                          number(apr_time_as_msec(cfg->cooldown), p), by, NULL};
    redisReply *reply;
    apr_status_t rv;

    if (ttl <= 0) {
        RELAY_WHY(why, p, "the TTL must be longer than 0");
        return RELAY_EINPUT;
    }
    if (ttl > cfg->ttl_max) {
        RELAY_WHY(why, p, "a TTL of %s is over the limit of %s ([relay] ttl-max)",
                  relay_duration_print(ttl, p), relay_duration_print(cfg->ttl_max, p));
        return RELAY_EREFUSED;
    }
    if ((rv = relay_store_deadline(&args[4], s, p, why)) != APR_SUCCESS ||
        (rv = relay_store_script(s, &reply, RELAY_SCRIPT_EXTEND, 5, args, p, why)) != APR_SUCCESS)
        return rv;
    if (strcmp(element(reply, 0), "ok") == 0) {
        if (!relay_time_parse(expires, element(reply, 1)))
            rv = bad_answer("extend", p, why);
    }
    else if (strcmp(element(reply, 0), "shorter") == 0) {
        apr_interval_time_t left = 0;

        relay_time_parse(&left, element(reply, 1));
        RELAY_WHY(why, p,
                  "tunnel %s still lives for %s, longer than %s from now: extend never shortens; "
                  "close it to end it sooner",
                  id, relay_duration_print(apr_time_from_sec(apr_time_sec(left)), p),
                  relay_duration_print(ttl, p));
        rv = RELAY_EREFUSED;
    }
    else {
        rv = change_refused(reply, id, p, why);
    }
    freeReplyObject(reply);
    return rv;
}
