/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lookup.h"
#include "relay_stores.h"

struct mod_relay_lookups {
    const relay_config *relay;
    mod_relay_cache *cache;
    server_rec *server;
    relay_stores *stores;
};

void mod_relay_lookups_create(mod_relay_lookups **out, const relay_config *relay,
                              mod_relay_cache *cache, server_rec *s, apr_pool_t *p)
{
    mod_relay_lookups *l = apr_pcalloc(p, sizeof(*l));

    l->relay = relay;
    l->cache = cache;
    l->server = s;
    relay_stores_create(&l->stores, relay, p);
    relay_stores_read_from(l->stores, relay->redis_read);
    *out = l;
}

void mod_relay_lookups_follow(mod_relay_lookups *l, const relay_redis_url *at)
{
    relay_stores_read_from(l->stores, at ? at : l->relay->redis_read);
}

void mod_relay_lookups_sweep(mod_relay_lookups *l)
{
    relay_stores_sweep(l->stores);
}

void mod_relay_lookups_resume(mod_relay_lookups *l)
{
    relay_stores_resume(l->stores);
}

static apr_status_t from_redis(mod_relay_lookups *l, const char *name, relay_route *route,
                               const char **gone, apr_pool_t *p)
{
    apr_uint32_t ticket = mod_relay_cache_ticket(l->cache, name);
    const char *why = "";
    relay_lent *c = relay_stores_take(l->stores);
    apr_status_t rv;

    if (!c)
        return RELAY_EUNREACHABLE;
    rv = relay_route_find(route, c->store, name, gone, p, &why);
    relay_stores_give_back(l->stores, c, rv == RELAY_EUNREACHABLE);
    if (rv == APR_SUCCESS)
        rv = relay_route_check(route, l->relay, p, &why);
    if (rv == APR_SUCCESS)
        mod_relay_cache_put(l->cache, name, ticket, route, NULL);
    else if (rv == RELAY_EGONE || rv == RELAY_ENOTFOUND)
        mod_relay_cache_put(l->cache, name, ticket, NULL, rv == RELAY_EGONE ? *gone : NULL);
    else if (relay_stores_complain(l->stores, why))
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, l->server, "RLY120 route %s cannot be looked up: %s",
                     name, why);
    return rv;
}

apr_status_t mod_relay_lookup(mod_relay_lookups *l, const mod_relay_server *conf, const char *name,
                              relay_route *route, const char **gone, apr_pool_t *p)
{
    apr_status_t rv = mod_relay_cache_get(l->cache, name, conf, 0, route, gone, p), stale;

    if (rv != APR_EAGAIN)
        return rv;
    if ((rv = from_redis(l, name, route, gone, p)) != RELAY_EUNREACHABLE)
        return rv;
    stale = mod_relay_cache_get(l->cache, name, conf, 1, route, gone, p);
    return stale == APR_EAGAIN ? rv : stale;
}
