/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"
#include "find.h"
#include "output.h"
#include "relay_connect.h"
#include "relay_tunnel_json.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

static const char *link_text(const relay_link *link, apr_time_t now, apr_pool_t *p)
{
    const char *text;

    if (!link->known)
        return "unknown: rlyd does not report";
    if (!link->up && link->taken)
        return "no: a process that is no tunnel listens there (RLY440, RLY441)";
    if (!link->up)
        return "no";
    text = link->since ? apr_psprintf(p, "for %s",
                                      rly_time_span(now > link->since ? now - link->since : 0, p))
                       : "yes";
    return link->peer ? apr_pstrcat(p, text, ", from ", link->peer, NULL) : text;
}

static const char *end_text(const relay_tunnel *t, apr_time_t now, apr_pool_t *p)
{
    return rly_time_both(strcmp(t->state, "closed") == 0 && t->ended ? t->ended : t->expires, now,
                         p);
}

/* What differs from the default. */
static void add_needs(rly_table *table, const relay_needs *needs)
{
    if (strcmp(needs->host, RELAY_HOST_PUBLIC))
        rly_table_add(table, (const char *[]){"Host", needs->host});
    if (!needs->forwarded)
        rly_table_add(table, (const char *[]){"Forwarded", "off"});
    if (*needs->upgrade)
        rly_table_add(table, (const char *[]){"Upgrade", needs->upgrade});
    if (needs->old_tls)
        rly_table_add(table, (const char *[]){"Old TLS", "on"});
}

static void print_facts(const relay_tunnel *t, apr_time_t now, apr_pool_t *p)
{
    rly_table *table = rly_table_create(p, 2, NULL);
    const char *by = *t->by ? apr_pstrcat(p, " by ", t->by, NULL) : "";

    rly_table_add(table, (const char *[]){"Tunnel", t->id});
    if (*t->device)
        rly_table_add(table, (const char *[]){"Device", t->device});
    rly_table_add(table, (const char *[]){"State", t->state});
    rly_table_add(table,
                  (const char *[]){"Opened",
                                   apr_pstrcat(p, rly_time_both(t->created, now, p), by, NULL)});
    rly_table_add(table, (const char *[]){strcmp(t->state, "open") == 0 ? "Ends" : "Ended",
                                          end_text(t, now, p)});
    rly_table_add(table, (const char *[]){"Key", t->key});
    rly_table_add(table, (const char *[]){"Relay", t->relay});
    add_needs(table, &t->needs);
    rly_table_print(table);
}

static void print_routes(rly *r, const relay_links *links, const relay_tunnel *t, apr_time_t now)
{
    static const char *const headings[] = {"NAME", "URL", "SERVICE", "LISTEN", "CONNECTED"};
    rly_table *table = rly_table_create(r->p, 5, headings);
    int open = strcmp(t->state, "open") == 0;
    relay_link link;

    for (int i = 0; i < t->nroutes; i++) {
        const relay_tunnel_route *route = &t->routes[i];

        relay_link_of(&link, links, t, i);
        rly_table_add(table,
                      (const char *[]){route->name, relay_connect_url(r->cfg, route, r->p),
                                       route->service, relay_listen_addr_print(route->listen, r->p),
                                       open ? link_text(&link, now, r->p) : NULL});
    }
    putchar('\n');
    rly_table_print(table);
}

static int show(rly *r, const char *word, int json)
{
    apr_array_header_t *one = apr_array_make(r->p, 1, sizeof(relay_tunnel *));
    relay_links *links;
    const char *why = NULL;
    relay_tunnel *t;
    apr_time_t now;
    apr_status_t rv = rly_find(&t, r, word, &why);

    if (rv == APR_SUCCESS) {
        APR_ARRAY_PUSH(one, relay_tunnel *) = t;
        rv = r->way->links(&links, json ? NULL : &now, r, one, &why);
    }
    if (rv != APR_SUCCESS) {
        rly_error("%s", why);
        return rly_exit_status(rv);
    }
    if (json)
        return rly_json_print(relay_tunnel_json(r->cfg, links, t, r->p));
    print_facts(t, now, r->p);
    print_routes(r, links, t, now);
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
    if (o.noperands != 1)
        return rly_usage_error(r, o.noperands ? "one tunnel at a time" : RLY_FIND_WHICH);
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    return show(r, o.operands[0], o.json);
}

const rly_command rly_cmd_show = {
    .name = "show",
    .summary = "show all about one tunnel",
    .takes = "j",
    .usage = "[--json] TUNNEL",
    .about = "Shows all about a tunnel; by its id or name for a day also about one that has "
             "ended.\n" RLY_FIND_HELP,
    .examples = "  rly show nas-bern\n",
    .run = run};
