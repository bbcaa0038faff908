/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"
#include "describe.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

enum { ID, DEVICE, RELAY, CONNECTED, ENDS, IN, URL, SERVICE, NCOLUMNS };

static apr_status_t add_tunnel(rly_table *table, rly_links *links, const relay_tunnel *t,
                               apr_time_t now, const char **why)
{
    rly *r = links->r;
    apr_status_t rv;
    rly_link link;

    for (int i = 0; i < t->nroutes; i++) {
        const char *cells[NCOLUMNS] = {NULL};

        if ((rv = rly_link_of(&link, links, t, i, why)) != APR_SUCCESS)
            return rv;
        if (i == 0) {
            cells[ID] = t->id;
            cells[DEVICE] = t->device;
            cells[RELAY] = strcmp(t->relay, r->cfg->name) == 0 ? NULL : t->relay;
            cells[ENDS] = rly_time_local(t->expires, r->p);
            cells[IN] = rly_time_span(t->expires > now ? t->expires - now : 0, r->p);
        }
        cells[CONNECTED] = !link.known ? NULL : link.up ? "yes" : "no";
        cells[URL] = rly_route_url(r->cfg, &t->routes[i], r->p);
        if (!cells[URL])
            cells[URL] = t->routes[i].name;
        cells[SERVICE] = t->routes[i].service;
        rly_table_add(table, cells);
    }
    return APR_SUCCESS;
}

static apr_status_t print_table(rly_links *links, const apr_array_header_t *tunnels,
                                const char **why)
{
    static const char *const headings[] = {"ID",   "DEVICE", "RELAY", "CONNECTED",
                                           "ENDS", "IN",     "URL",   "SERVICE"};
    rly_table *table = rly_table_create(links->r->p, NCOLUMNS, headings);
    apr_time_t now;
    apr_status_t rv;

    if (tunnels->nelts == 0) {
        puts("No tunnel is open.");
        return APR_SUCCESS;
    }
    if ((rv = relay_store_now(&now, links->r->store, links->r->p, why)) != APR_SUCCESS)
        return rv;
    for (int i = 0; i < tunnels->nelts; i++)
        if ((rv = add_tunnel(table, links, APR_ARRAY_IDX(tunnels, i, relay_tunnel *), now, why)) !=
            APR_SUCCESS)
            return rv;
    rly_table_print(table);
    return APR_SUCCESS;
}

static apr_status_t make_json(json_t **out, rly_links *links, const apr_array_header_t *tunnels,
                              const char **why)
{
    json_t *array = json_array(), *object;
    apr_status_t rv;

    for (int i = 0; i < tunnels->nelts; i++) {
        if ((rv = rly_tunnel_json(&object, links, APR_ARRAY_IDX(tunnels, i, relay_tunnel *),
                                  why)) != APR_SUCCESS) {
            json_decref(array);
            return rv;
        }
        json_array_append_new(array, object);
    }
    *out = json_pack("{s:i, s:o}", "v", 1, "tunnels", array);
    return APR_SUCCESS;
}

static int list(rly *r, int json)
{
    rly_links *links = rly_links_create(r);
    apr_array_header_t *tunnels;
    const char *why = NULL;
    json_t *object;
    apr_status_t rv = relay_tunnel_list(&tunnels, r->store, r->p, &why);

    if (rv == APR_SUCCESS && json) {
        rv = make_json(&object, links, tunnels, &why);
        if (rv == APR_SUCCESS)
            return rly_json_print(object);
    }
    else if (rv == APR_SUCCESS) {
        rv = print_table(links, tunnels, &why);
    }
    if (rv != APR_SUCCESS)
        rly_error("%s", why);
    return rly_exit_status(rv);
}

static int run(rly *r, int argc, const char *const *argv)
{
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    if (o.noperands != 0)
        return rly_usage_error(r, "list takes no operands; for one tunnel there is: rly show %s",
                               o.operands[0]);
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    return list(r, o.json);
}

const rly_command rly_cmd_list = {
    .name = "list",
    .summary = "list the open tunnels",
    .takes = "j",
    .usage = "[--json]",
    .about = "Lists the open tunnels, the one that ends first on top. CONNECTED is shown where "
             "rlyd reports it.\n",
    .examples = "  rly list --json | jq -r '.tunnels[].routes[].url'\n",
    .run = run};
