/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_tunnel.h"
#include "relay_duration.h"
#include "relay_log.h"
#include "relay_name.h"
#include "relay_tunnel_record.h"

#include <string.h>

static const char *number(apr_int64_t n, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, n);
}

/* ---- reading */

/* The first field that a tunnel needs and the record lacks; NULL where there is none. */
static const char *missing_field(const relay_tunnel_record *r, apr_pool_t *p)
{
    int i;

    if (!r->id || !r->relay || !r->key || !r->state)
        return !r->id ? "id" : !r->relay ? "relay" : !r->key ? "key" : "state";
    if (r->expires <= 0 || r->nroutes == 0)
        return r->expires <= 0 ? "expires" : "routes";
    for (i = 0; i < r->nroutes; i++)
        if (!r->routes[i].name || !r->routes[i].service || !r->routes[i].listen.port)
            return apr_psprintf(p, "name.%d, listen.%d or service.%d", i, i, i);
    return NULL;
}

static const char *copy(const char *text, apr_pool_t *p)
{
    return apr_pstrdup(p, text ? text : "");
}

/* @return the first field that has not its form, or NULL */
static const char *read_needs(relay_needs *needs, const relay_tunnel_record *r, apr_pool_t *p)
{
    const relay_needs none = RELAY_NEEDS_DEFAULT;

    *needs = none;
    if (r->host && !relay_form_host(&needs->host, r->host, p))
        return "host";
    if (r->forwarded && !relay_form_switch(&needs->forwarded, r->forwarded, p))
        return "forwarded";
    if (r->upgrade && !relay_form_protocols(&needs->upgrade, r->upgrade, p))
        return "upgrade";
    if (r->old_tls && !relay_form_switch(&needs->old_tls, r->old_tls, p))
        return "old_tls";
    return NULL;
}

static apr_status_t read_tunnel(relay_tunnel **out, const redisReply *hash, const char *key,
                                apr_time_t now, apr_pool_t *p, const char **why)
{
    relay_tunnel *t = apr_pcalloc(p, sizeof(*t));
    relay_tunnel_record r;
    const char *fault;
    int i;

    relay_tunnel_record_read(&r, hash);
    if ((fault = missing_field(&r, p)) != NULL || (fault = read_needs(&t->needs, &r, p)) != NULL)
        return relay_record_malformed(key, fault, p, why);
    t->id = copy(r.id, p);
    t->relay = copy(r.relay, p);
    t->key = copy(r.key, p);
    t->state = strcmp(r.state, "open") == 0 && r.expires <= now ? "expired" : copy(r.state, p);
    t->device = copy(r.device, p);
    t->tenant = copy(r.tenant, p);
    t->by = copy(r.by, p);
    t->created = r.created;
    t->expires = r.expires;
    t->ended = r.ended;
    t->nroutes = r.nroutes;
    t->routes = apr_pcalloc(p, (apr_size_t)t->nroutes * sizeof(*t->routes));
    for (i = 0; i < t->nroutes; i++) {
        t->routes[i].name = copy(r.routes[i].name, p);
        t->routes[i].service = copy(r.routes[i].service, p);
        t->routes[i].listen = r.routes[i].listen;
    }
    *out = t;
    return APR_SUCCESS;
}

static apr_status_t load_tunnel(relay_tunnel **out, relay_store *s, const char *id, apr_time_t now,
                                apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, RELAY_KEYNAME_TUNNEL, id);
    redisReply *hash;
    apr_status_t rv = relay_record_load(&hash, s, key, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    rv = read_tunnel(out, hash, key, now, p, why);
    freeReplyObject(hash);
    return rv;
}

/* The tunnel that a route: or gone: record names, or NULL. */
static apr_status_t holder_of(const char **id, relay_store *s, relay_keyname_kind kind,
                              const char *name, apr_pool_t *p, const char **why)
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

/* The tunnel that has or last had a name. */
static apr_status_t find_named(relay_tunnel **out, relay_store *s, const char *name, apr_time_t now,
                               apr_pool_t *p, const char **why)
{
    static const relay_keyname_kind kinds[] = {RELAY_KEYNAME_ROUTE, RELAY_KEYNAME_GONE};
    const char *id;
    apr_status_t rv;
    int i;

    for (i = 0; i < 2; i++) {
        if ((rv = holder_of(&id, s, kinds[i], name, p, why)) != APR_SUCCESS)
            return rv;
        if (id && (rv = load_tunnel(out, s, id, now, p, why)) != RELAY_ENOTFOUND)
            return rv;
    }
    return no_such_tunnel(name, p, why);
}

apr_status_t relay_tunnel_find(relay_tunnel **out, relay_store *s, const char *id_or_name,
                               apr_pool_t *p, const char **why)
{
    apr_time_t now;
    apr_status_t rv;

    /* Ids have the form of labels as well. */
    if (relay_name_check(id_or_name, strlen(id_or_name), NULL, NULL) != APR_SUCCESS)
        return no_such_tunnel(id_or_name, p, why);
    if ((rv = relay_store_now(&now, s, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = load_tunnel(out, s, id_or_name, now, p, why)) != RELAY_ENOTFOUND)
        return rv;
    return find_named(out, s, id_or_name, now, p, why);
}

apr_status_t relay_tunnel_find_named(relay_tunnel **out, relay_store *s, const char *name,
                                     apr_pool_t *p, const char **why)
{
    apr_time_t now;
    apr_status_t rv = relay_store_now(&now, s, p, why);

    return rv == APR_SUCCESS ? find_named(out, s, name, now, p, why) : rv;
}

/* Whose a tunnel is; "" for nobody's, and for one that is not there. */
static apr_status_t tenant_of(const char **out, relay_store *s, const char *id, apr_pool_t *p,
                              const char **why)
{
    const char *argv[] = {"HGET", relay_store_key(s, p, RELAY_KEYNAME_TUNNEL, id), "tenant"};
    redisReply *reply;
    apr_status_t rv = relay_store_command(s, &reply, 3, argv, NULL, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    *out = apr_pstrdup(p, relay_script_text(reply));
    freeReplyObject(reply);
    return APR_SUCCESS;
}

apr_status_t relay_tunnel_find_of(relay_tunnel **out, relay_store *s, const char *tenant,
                                  const char *id, apr_pool_t *p, const char **why)
{
    const char *whose;
    apr_time_t now;
    apr_status_t rv;

    if (relay_name_check(id, strlen(id), NULL, NULL) != APR_SUCCESS)
        return no_such_tunnel(id, p, why);
    if (tenant) {
        if ((rv = tenant_of(&whose, s, id, p, why)) != APR_SUCCESS)
            return rv;
        if (strcmp(whose, tenant) != 0)
            return no_such_tunnel(id, p, why);
    }
    if ((rv = relay_store_now(&now, s, p, why)) != APR_SUCCESS)
        return rv;
    rv = load_tunnel(out, s, id, now, p, why);
    return rv == RELAY_ENOTFOUND ? no_such_tunnel(id, p, why) : rv;
}

apr_status_t relay_tunnel_find_named_of(relay_tunnel **out, relay_store *s, const char *tenant,
                                        const char *name, apr_pool_t *p, const char **why)
{
    static const relay_keyname_kind kinds[] = {RELAY_KEYNAME_ROUTE, RELAY_KEYNAME_GONE};
    const char *id;
    apr_status_t rv;

    if (relay_name_check(name, strlen(name), NULL, NULL) != APR_SUCCESS)
        return no_such_tunnel(name, p, why);
    for (int i = 0; i < 2; i++) {
        if ((rv = holder_of(&id, s, kinds[i], name, p, why)) != APR_SUCCESS)
            return rv;
        if (id && (rv = relay_tunnel_find_of(out, s, tenant, id, p, why)) != RELAY_ENOTFOUND)
            return rv;
    }
    return no_such_tunnel(name, p, why);
}

/* Records asked for in one round trip. A list of thousands takes a few answers then, and neither
 * side has to hold all of it at once. */
#define LIST_BATCH RELAY_PAGE_MAX

/* Adds the tunnels with these ids to a list. */
static apr_status_t load_batch(apr_array_header_t *list, relay_store *s, const char *const *ids,
                               int n, apr_time_t now, apr_pool_t *p, const char **why)
{
    const char *argv[LIST_BATCH][2];
    relay_store_cmd cmds[LIST_BATCH] = {{0}};
    redisReply *replies[LIST_BATCH];
    apr_status_t rv;
    int i;

    for (i = 0; i < n; i++) {
        argv[i][0] = "HGETALL";
        argv[i][1] = relay_store_key(s, p, RELAY_KEYNAME_TUNNEL, ids[i]);
        cmds[i] = (relay_store_cmd){2, argv[i], NULL};
    }
    if ((rv = relay_store_read(s, cmds, n, replies, p, why)) != APR_SUCCESS)
        return rv;
    for (i = 0; i < n && rv == APR_SUCCESS; i++) {
        const char *fault = "its record is missing";
        relay_tunnel *t = NULL;

        rv = relay_record_check(replies[i], s, argv[i][1], p, &fault);
        if (rv == APR_SUCCESS)
            rv = read_tunnel(&t, replies[i], argv[i][1], now, p, &fault);
        if (t && strcmp(t->state, "open") == 0) {
            APR_ARRAY_PUSH(list, relay_tunnel *) = t;
        }
        else if (rv == RELAY_ERECORD || rv == RELAY_ENOTFOUND) {
            relay_log(RELAY_LOG_WARNING, "RLY001 tunnel %s is left out: %s", ids[i], fault);
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
    const char *argv[] = {"ZRANGEBYSCORE", relay_store_key(s, p, RELAY_KEYNAME_TUNNELS, ""), NULL,
                          "+inf"};
    apr_array_header_t *list = apr_array_make(p, 16, sizeof(relay_tunnel *));
    const char *batch[LIST_BATCH];
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
        for (int j = 0; j < n; j++)
            batch[j] = relay_script_text(ids->element[i + j]);
        rv = load_batch(list, s, batch, n, now, p, why);
    }
    freeReplyObject(ids);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

apr_status_t relay_tunnel_page(apr_array_header_t **out, relay_page *page, relay_store *s,
                               apr_pool_t *p, const char **why)
{
    apr_array_header_t *list = apr_array_make(p, page->count, sizeof(relay_tunnel *));
    apr_time_t now;
    apr_status_t rv;

    if ((rv = relay_page_read(page, s, RELAY_PAGE_TUNNELS, p, why)) == APR_SUCCESS &&
        (rv = relay_store_now(&now, s, p, why)) == APR_SUCCESS)
        rv = load_batch(list, s, page->ids, page->nids, now, p, why);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

/* ---- close and extend */

apr_status_t relay_tunnel_ttl_check(const relay_config *cfg, apr_interval_time_t ttl, apr_pool_t *p,
                                    const char **why)
{
    if (ttl > cfg->ttl_max) {
        RELAY_WHY(why, p, "a TTL of %s is over the limit of %s ([relay] ttl-max)",
                  relay_duration_print(ttl, p), relay_duration_print(cfg->ttl_max, p));
        return RELAY_EREFUSED;
    }
    return APR_SUCCESS;
}

/* Says what open_tunnel() of lua/prelude.lua has refused. */
static apr_status_t change_refused(const redisReply *reply, const char *id, apr_pool_t *p,
                                   const char **why)
{
    const char *what = relay_script_word(reply, 0);

    if (strcmp(what, "none") == 0)
        return no_such_tunnel(id, p, why);
    if (strcmp(what, "gone") == 0) {
        RELAY_WHY(why, p, "tunnel %s has already ended: it %s", id,
                  strcmp(relay_script_word(reply, 1), "closed") ? "has expired" : "was closed");
        return RELAY_EGONE;
    }
    RELAY_WHY(why, p, "record tunnel:%s has version %.20s, this program knows up to %d: upgrade it",
              id, relay_script_word(reply, 1), RELAY_RECORD_VERSION);
    return RELAY_ERECORD;
}

apr_status_t relay_tunnel_close(relay_store *s, const relay_config *cfg, const char *id,
                                const relay_actor *actor, apr_pool_t *p, const char **why)
{
    const char *args[] = {id,
                          number(apr_time_as_msec(cfg->cooldown), p),
                          relay_actor_tenant(actor),
                          actor->by,
                          relay_actor_text(actor->from),
                          relay_actor_text(actor->request)};
    redisReply *reply;
    apr_status_t rv = relay_store_script(s, &reply, RELAY_SCRIPT_CLOSE, 6, args, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(relay_script_word(reply, 0), "ok"))
        rv = change_refused(reply, id, p, why);
    freeReplyObject(reply);
    return rv;
}

apr_status_t relay_tunnel_extend(relay_store *s, const relay_config *cfg, const char *id,
                                 apr_interval_time_t ttl, const relay_actor *actor,
                                 apr_time_t *expires, apr_pool_t *p, const char **why)
{
    const char *args[] = {id,
                          number(apr_time_as_msec(ttl), p),
                          number(apr_time_as_msec(cfg->cooldown), p),
                          NULL, /* latest */
                          relay_actor_tenant(actor),
                          actor->by,
                          relay_actor_text(actor->from),
                          relay_actor_text(actor->request)};
    redisReply *reply;
    apr_time_t latest;
    apr_status_t rv;

    if (ttl <= 0) {
        RELAY_WHY(why, p, "the TTL must be longer than 0");
        return RELAY_EINPUT;
    }
    if ((rv = relay_tunnel_ttl_check(cfg, ttl, p, why)) != APR_SUCCESS ||
        (rv = relay_store_deadline(&latest, s, p, why)) != APR_SUCCESS)
        return rv;
    args[3] = number(apr_time_as_msec(latest), p);
    if ((rv = relay_store_script(s, &reply, RELAY_SCRIPT_EXTEND, 8, args, p, why)) != APR_SUCCESS)
        return rv;
    if (strcmp(relay_script_word(reply, 0), "ok") == 0) {
        if (!relay_time_parse(expires, relay_script_word(reply, 1)))
            rv = relay_script_unknown(RELAY_SCRIPT_EXTEND, p, why);
    }
    else if (strcmp(relay_script_word(reply, 0), "shorter") == 0) {
        apr_interval_time_t left = 0;

        relay_time_parse(&left, relay_script_word(reply, 1));
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
