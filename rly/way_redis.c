/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "way.h"
#include "relay_grant.h"
#include "relay_pin.h"

#include <string.h>

static apr_status_t learn_domain(rly *r, const char **why)
{
    return APR_SUCCESS; /* relay.conf has it */
}

static apr_status_t find_by_key(relay_tunnel **out, rly *r, const char *fingerprint,
                                const char **why)
{
    relay_grant grant;
    relay_tunnel *t = NULL;
    apr_status_t rv = relay_grant_find(&grant, r->store, fingerprint, r->p, why);

    if (rv == APR_SUCCESS)
        rv = relay_tunnel_find(&t, r->store, grant.tunnel, r->p, why);
    /* Where there is no such id it was taken for a name. */
    if (rv == APR_SUCCESS && strcmp(t->id, grant.tunnel) != 0)
        return RELAY_ENOTFOUND;
    if (rv == APR_SUCCESS)
        *out = t;
    return rv;
}

static apr_status_t find(relay_tunnel **out, rly *r, rly_by by, const char *what, const char **why)
{
    if (by == RLY_BY_KEY)
        return find_by_key(out, r, what, why);
    return by == RLY_BY_NAME ? relay_tunnel_find_named(out, r->store, what, r->p, why)
                             : relay_tunnel_find(out, r->store, what, r->p, why);
}

static apr_status_t list(apr_array_header_t **out, rly *r, const char **why)
{
    return relay_tunnel_list(out, r->store, r->p, why);
}

static apr_status_t with_device(apr_array_header_t **out, rly *r, const char *device,
                                const char **why)
{
    apr_status_t rv = r->open ? APR_SUCCESS : list(&r->open, r, why);

    if (rv == APR_SUCCESS)
        *out = rly_of_device(r->open, device, r->p);
    return rv;
}

static apr_status_t links(relay_links **out, apr_time_t *now, rly *r,
                          const apr_array_header_t *tunnels, const char **why)
{
    apr_status_t rv = relay_links_read(out, r->store, tunnels, r->p, why);

    if (rv == APR_SUCCESS && now)
        rv = relay_store_now(now, r->store, r->p, why);
    return rv;
}

static apr_status_t prepare(rly *r, rly_wish *wish, const char **why)
{
    return relay_pin_read(&wish->hostkeys, r->cfg, r->store, r->p, why);
}

static apr_status_t open_tunnel(relay_tunnel **out, rly *r, rly_wish *wish, const char **why)
{
    wish->req.actor.by = rly_operator(r->p);
    return relay_tunnel_open(out, r->store, r->cfg, &wish->req, r->p, why);
}

static apr_status_t close_tunnel(rly *r, const relay_tunnel *t, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_tunnel_close(r->store, r->cfg, t->id, &actor, r->p, why);
}

static apr_status_t extend(rly *r, const relay_tunnel *t, apr_interval_time_t ttl,
                           apr_time_t *expires, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_tunnel_extend(r->store, r->cfg, t->id, ttl, &actor, expires, r->p, why);
}

static apr_status_t token_make(relay_token *t, const char **text, rly *r, relay_token_request *req,
                               const char **why)
{
    req->actor.by = rly_operator(r->p);
    return relay_token_make(t, text, r->store, r->cfg, req, r->p, why);
}

static apr_status_t token_list(apr_array_header_t **out, rly *r, const char *tenant,
                               const char **why)
{
    return relay_rows_all(out, &relay_token_rows, tenant, r->store, r->p, why);
}

static apr_status_t token_revoke(apr_array_header_t **ids, rly *r, const char *id, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_token_revoke(ids, r->store, r->cfg, id, &actor, r->p, why);
}

/* ---- the fleet */

static apr_status_t code_make(relay_code *c, const char **text, rly *r, relay_code_request *req,
                              const char **why)
{
    req->actor.by = rly_operator(r->p);
    return relay_code_make(c, text, r->store, r->cfg, req, r->p, why);
}

static apr_status_t code_list(apr_array_header_t **out, rly *r, const char *tenant,
                              const char **why)
{
    return relay_rows_all(out, &relay_code_rows, tenant, r->store, r->p, why);
}

static apr_status_t code_revoke(rly *r, const char *id, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_code_revoke(r->store, r->cfg, id, &actor, r->p, why);
}

static apr_status_t device_list(apr_array_header_t **out, rly *r, const char *tenant,
                                const char **why)
{
    return relay_rows_all(out, &relay_device_rows, tenant, r->store, r->p, why);
}

static apr_status_t device_find(relay_device **out, rly *r, const char *id, const char **why)
{
    void *device;
    apr_status_t rv = relay_rows_one(&device, &relay_device_rows, id, NULL, r->store, r->p, why);

    if (rv == APR_SUCCESS)
        *out = device;
    return rv;
}

static apr_status_t device_alter(rly *r, const char *id, const relay_device_change *change,
                                 const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_device_alter(r->store, r->cfg, id, change, &actor, r->p, why);
}

static apr_status_t device_remove(rly *r, const char *id, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_device_remove(r->store, r->cfg, id, &actor, r->p, why);
}

static apr_status_t relay_list(apr_array_header_t **out, rly *r, const char **why)
{
    return relay_hosts_read(out, r->store, NULL, r->p, why);
}

static apr_status_t relay_drain(rly *r, const char *name, int draining, const char **why)
{
    const relay_actor actor = {.by = rly_operator(r->p)};

    return relay_host_drain(r->store, name, draining, &actor, r->p, why);
}

static apr_status_t events(rly *r, relay_history *h, int follow, apr_pool_t *p, const char **why)
{
    apr_status_t rv = relay_history_read(h, r->store, p, why);
    int some;

    if (rv != APR_SUCCESS || !follow || h->events->nelts || h->more)
        return rv;
    return relay_history_follow(&some, h, r->store, NULL, NULL, p, why);
}

const rly_way rly_way_redis = {.learn_domain = learn_domain,
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
                               .code_make = code_make,
                               .code_list = code_list,
                               .code_revoke = code_revoke,
                               .device_list = device_list,
                               .device_find = device_find,
                               .device_alter = device_alter,
                               .device_remove = device_remove,
                               .relay_list = relay_list,
                               .relay_drain = relay_drain,
                               .events = events};
