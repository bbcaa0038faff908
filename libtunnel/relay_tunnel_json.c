/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_tunnel_json.h"
#include "relay_connect.h"
#include "relay_print.h"

#include <string.h>

json_t *relay_json_text(const char *text, apr_pool_t *p)
{
    return text ? json_string(relay_print_utf8(text, p)) : json_null();
}

static json_t *words_json(const char *words, apr_pool_t *p)
{
    json_t *array = json_array();
    char *word, *state;

    for (word = apr_strtok(apr_pstrdup(p, words), " ", &state); word;
         word = apr_strtok(NULL, " ", &state))
        json_array_append_new(array, relay_json_text(word, p));
    return array;
}

json_t *relay_route_json(const relay_config *cfg, const relay_tunnel *t, int i, apr_pool_t *p)
{
    const relay_tunnel_route *route = &t->routes[i];

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:b}", "name",
                     relay_json_text(route->name, p), "url",
                     relay_json_text(relay_connect_url(cfg, route, p), p), "service",
                     relay_json_text(route->service, p), "listen",
                     relay_json_text(relay_listen_addr_print(route->listen, p), p), "host",
                     relay_json_text(t->needs.host, p), "forwarded", t->needs.forwarded, "upgrade",
                     words_json(t->needs.upgrade, p), "old_tls", t->needs.old_tls);
}

json_t *relay_json_time(apr_time_t t, apr_pool_t *p)
{
    return relay_json_text(t ? relay_print_rfc3339(t, p) : NULL, p);
}

json_t *relay_tunnel_json(const relay_config *cfg, const relay_links *links, const relay_tunnel *t,
                          apr_pool_t *p)
{
    json_t *routes = json_array(), *route;
    relay_link link;

    for (int i = 0; i < t->nroutes; i++) {
        relay_link_of(&link, links, t, i);
        route = relay_route_json(cfg, t, i, p);
        json_object_set_new(route, "connected", link.known ? json_boolean(link.up) : json_null());
        json_object_set_new(route, "since", relay_json_time(link.since, p));
        json_object_set_new(route, "peer", relay_json_text(link.peer, p));
        json_object_set_new(route, "taken", json_boolean(link.taken));
        json_array_append_new(routes, route);
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "v", 1, "id",
                     relay_json_text(t->id, p), "device", relay_json_text(t->device, p), "state",
                     relay_json_text(t->state, p), "relay", relay_json_text(t->relay, p), "key",
                     relay_json_text(t->key, p), "by", relay_json_text(t->by, p), "created",
                     relay_json_time(t->created, p), "expires", relay_json_time(t->expires, p),
                     "ended", relay_json_time(t->ended, p), "routes", routes);
}

void relay_place_json(json_t *json, const relay_config *cfg, apr_pool_t *p)
{
    json_object_set_new(json, "relay", relay_json_text(cfg->name, p));
    json_object_set_new(json, "domain", relay_json_text(cfg->domain, p));
    json_object_set_new(json, "https_port", json_integer(cfg->https_port));
}

json_t *relay_opened_json(const relay_config *cfg, const relay_tunnel *t, const char *command,
                          int tls, const char *bundle, apr_pool_t *p)
{
    json_t *routes = json_array();

    for (int i = 0; i < t->nroutes; i++)
        json_array_append_new(routes, relay_route_json(cfg, t, i, p));
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:i, s:o, s:o}, s:o}", "v", 1, "id",
                     relay_json_text(t->id, p), "device", relay_json_text(t->device, p), "expires",
                     relay_json_time(t->expires, p), "key", relay_json_text(t->key, p), "routes",
                     routes, "ssh", "host", relay_json_text(cfg->ssh_host, p), "port",
                     relay_connect_port(cfg, tls), "user", relay_json_text(cfg->user, p), "command",
                     relay_json_text(command, p), "bundle", relay_json_text(bundle, p));
}
