/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"
#include "output.h"
#include "relay_connect.h"
#include "relay_tunnel_json.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

enum { ID, DEVICE, RELAY, CONNECTED, ENDS, IN, URL, SERVICE, NCOLUMNS };

static void add_tunnel(rly_table *table, rly *r, const relay_links *links, const relay_tunnel *t,
                       apr_time_t now)
{
    relay_link link;

    for (int i = 0; i < t->nroutes; i++) {
        const char *cells[NCOLUMNS] = {NULL};

        relay_link_of(&link, links, t, i);
        if (i == 0) {
            cells[ID] = t->id;
            cells[DEVICE] = t->device;
            cells[RELAY] = strcmp(t->relay, r->cfg->name) == 0 ? NULL : t->relay;
            cells[ENDS] = rly_time_local(t->expires, r->p);
            cells[IN] = rly_time_span(t->expires > now ? t->expires - now : 0, r->p);
        }
        cells[CONNECTED] = !link.known ? NULL : link.up ? "yes" : "no";
        cells[URL] = relay_connect_url(r->cfg, &t->routes[i], r->p);
        if (!cells[URL])
            cells[URL] = t->routes[i].name;
        cells[SERVICE] = t->routes[i].service;
        rly_table_add(table, cells);
    }
}

static void print_table(rly *r, const relay_links *links, const apr_array_header_t *tunnels,
                        apr_time_t now)
{
    static const char *const headings[] = {"ID",   "DEVICE", "RELAY", "CONNECTED",
                                           "ENDS", "IN",     "URL",   "SERVICE"};
    rly_table *table = rly_table_create(r->p, NCOLUMNS, headings);

    if (tunnels->nelts == 0) {
        puts("No tunnel is open.");
        return;
    }
    for (int i = 0; i < tunnels->nelts; i++)
        add_tunnel(table, r, links, APR_ARRAY_IDX(tunnels, i, relay_tunnel *), now);
    rly_table_print(table);
}

static int print_json(rly *r, const relay_links *links, const apr_array_header_t *tunnels)
{
    json_t *array = json_array();

    for (int i = 0; i < tunnels->nelts; i++)
        json_array_append_new(array,
                              relay_tunnel_json(r->cfg, links,
                                                APR_ARRAY_IDX(tunnels, i, relay_tunnel *), r->p));
    return rly_json_print(json_pack("{s:i, s:o}", "v", 1, "tunnels", array));
}

static int list(rly *r, int json)
{
    apr_array_header_t *tunnels;
    relay_links *links;
    const char *why = NULL;
    apr_time_t now;
    apr_status_t rv = r->way->list(&tunnels, r, &why);

    if (rv == APR_SUCCESS)
        rv = r->way->links(&links, json ? NULL : &now, r, tunnels, &why);
    if (rv != APR_SUCCESS) {
        rly_error("%s", why);
        return rly_exit_status(rv);
    }
    if (json)
        return print_json(r, links, tunnels);
    print_table(r, links, tunnels, now);
    return RLY_DONE;
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
