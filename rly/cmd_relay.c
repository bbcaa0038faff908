/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "output.h"
#include "relay_fleet_json.h"
#include "verbs.h"
#include "way.h"

#include <stdio.h>

static void print_list(rly *r, const apr_array_header_t *hosts)
{
    static const char *const headings[] = {"RELAY", "STATE", "SESSIONS", "LOAD",
                                           "SSH",   "HEARD", "VERSIONS"};
    rly_table *table = rly_table_create(r->p, 7, headings);

    for (int i = 0; i < hosts->nelts; i++) {
        const relay_host *h = APR_ARRAY_IDX(hosts, i, const relay_host *);
        const char *sessions = h->sessions < 0 ? NULL : apr_psprintf(r->p, "%d", (int)h->sessions);

        rly_table_add(table, (const char *[]){h->name,
                                              apr_pstrcat(r->p, h->up ? "up" : "silent",
                                                          h->draining ? ", draining" : "", NULL),
                                              sessions, h->load, h->ssh,
                                              h->heard ? rly_time_local(h->heard, r->p) : NULL,
                                              h->versions});
    }
    rly_table_print(table);
}

static int list_relays(rly *r, const rly_options *o, int n, const char *const *operands)
{
    apr_array_header_t *hosts;
    json_t *array;
    const char *why = NULL;
    apr_status_t rv = r->way->relay_list(&hosts, r, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    if (!o->json && hosts->nelts)
        print_list(r, hosts);
    else if (!o->json)
        puts("No relay's rlyd has been heard.");
    if (!o->json)
        return RLY_DONE;
    array = json_array();
    for (int i = 0; i < hosts->nelts; i++)
        json_array_append_new(array, relay_host_json(APR_ARRAY_IDX(hosts, i, const relay_host *), 1,
                                                     r->p));
    return rly_json_print(json_pack("{s:i, s:o}", "v", 1, "relays", array));
}

static int drain(rly *r, const char *name, int draining)
{
    const char *why = NULL;
    apr_status_t rv = r->way->relay_drain(r, name, draining, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    printf("%s %s\n", draining ? "draining" : "undrained", name);
    return RLY_DONE;
}

static int drain_one(rly *r, const char *name)
{
    return drain(r, name, 1);
}

static int undrain_one(rly *r, const char *name)
{
    return drain(r, name, 0);
}

static int drain_relays(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, drain_one);
}

static int undrain_relays(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, undrain_one);
}

static int run(rly *r, int argc, const char *const *argv)
{
    static const char which[] = "which relay? rly relay list shows them";
    static const rly_verb verbs[] = {{"list", list_relays, 0, 0, "list takes no operands"},
                                     {"drain", drain_relays, 1, RLY_ANY_NUMBER, which},
                                     {"undrain", undrain_relays, 1, RLY_ANY_NUMBER, which},
                                     {NULL, NULL, 0, 0, NULL}};

    return rly_verbs_run(r, argc, argv, verbs);
}

const rly_command rly_cmd_relay = {
    .name = "relay",
    .summary = "list relays, and say which get no new tunnels",
    .takes = "j",
    .usage = "[--json] list|drain|undrain [NAME...]",
    .about = "`list' shows the relays, as their rlyds tell of them; one is silent that was not "
             "heard for a minute. `drain' marks a relay: it is left out where tunnels are placed "
             "among relays; what is open there stays. `undrain' takes that back.\n",
    .examples = "  rly relay list\n"
                "  rly relay drain relay2\n",
    .run = run};
