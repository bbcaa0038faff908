/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "describe.h"
#include "output.h"
#include "relay_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rly_route_url(const relay_config *cfg, const relay_tunnel_route *route, apr_pool_t *p)
{
    const char *end = strstr(route->service, "://");

    if (!end ||
        !relay_scheme_is_web(apr_pstrmemdup(p, route->service, (apr_size_t)(end - route->service))))
        return NULL;
    if (cfg->https_port == 443)
        return apr_pstrcat(p, "https://", route->name, ".", cfg->domain, "/", NULL);
    return apr_psprintf(p, "https://%s.%s:%d/", route->name, cfg->domain, cfg->https_port);
}

const char *rly_route_forward(const relay_tunnel_route *route, const char *between, apr_pool_t *p)
{
    relay_service *service;

    if (relay_service_parse(&service, route->service, p, NULL) != APR_SUCCESS)
        return NULL;
    return apr_pstrcat(p, relay_listen_addr_print(route->listen, p), between, service->target,
                       NULL);
}

json_t *rly_json_text(const char *text, apr_pool_t *p)
{
    return text ? json_string(rly_text_utf8(text, p)) : json_null();
}

static json_t *words_json(const char *words, apr_pool_t *p)
{
    json_t *array = json_array();
    char *word, *state;

    for (word = apr_strtok(apr_pstrdup(p, words), " ", &state); word;
         word = apr_strtok(NULL, " ", &state))
        json_array_append_new(array, rly_json_text(word, p));
    return array;
}

json_t *rly_route_json(const relay_config *cfg, const relay_tunnel *t, int i, apr_pool_t *p)
{
    const relay_tunnel_route *route = &t->routes[i];

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:b}", "name",
                     rly_json_text(route->name, p), "url",
                     rly_json_text(rly_route_url(cfg, route, p), p), "service",
                     rly_json_text(route->service, p), "listen",
                     rly_json_text(relay_listen_addr_print(route->listen, p), p), "host",
                     rly_json_text(t->needs.host, p), "forwarded", t->needs.forwarded, "upgrade",
                     words_json(t->needs.upgrade, p), "old_tls", t->needs.old_tls);
}

static json_t *time_json(apr_time_t t, apr_pool_t *p)
{
    return rly_json_text(t ? rly_time_rfc3339(t, p) : NULL, p);
}

apr_status_t rly_tunnel_json(json_t **out, rly_links *links, const relay_tunnel *t,
                             const char **why)
{
    apr_pool_t *p = links->r->p;
    json_t *routes = json_array(), *route;
    apr_status_t rv;
    rly_link link;

    for (int i = 0; i < t->nroutes; i++) {
        if ((rv = rly_link_of(&link, links, t, i, why)) != APR_SUCCESS) {
            json_decref(routes);
            return rv;
        }
        route = rly_route_json(links->r->cfg, t, i, p);
        json_object_set_new(route, "connected", link.known ? json_boolean(link.up) : json_null());
        json_object_set_new(route, "since", time_json(link.since, p));
        json_object_set_new(route, "peer", rly_json_text(link.peer, p));
        json_array_append_new(routes, route);
    }
    *out = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "v", 1, "id",
                     rly_json_text(t->id, p), "device", rly_json_text(t->device, p), "state",
                     rly_json_text(t->state, p), "relay", rly_json_text(t->relay, p), "key",
                     rly_json_text(t->key, p), "by", rly_json_text(t->by, p), "created",
                     time_json(t->created, p), "expires", time_json(t->expires, p), "ended",
                     time_json(t->ended, p), "routes", routes);
    return APR_SUCCESS;
}

int rly_json_print(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (!text) {
        rly_error("out of memory");
        return RLY_REFUSED;
    }
    puts(text);
    free(text);
    return RLY_DONE;
}
