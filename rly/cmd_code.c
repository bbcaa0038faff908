/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "output.h"
#include "relay_code.h"
#include "relay_fleet_json.h"
#include "relay_record.h"
#include "verbs.h"
#include "way.h"

#include <stdio.h>

#define TTL_DEFAULT apr_time_from_sec(APR_INT64_C(7) * 86400)

static int print_made(rly *r, const relay_code *c, const char *text)
{
    rly_table *table = rly_table_create(r->p, 2, NULL);

    rly_table_add(table, (const char *[]){"Id", c->id});
    if (*c->label)
        rly_table_add(table, (const char *[]){"Label", c->label});
    rly_table_add(table, (const char *[]){"Tenant", *c->tenant ? c->tenant : "nobody's"});
    rly_table_add(table, (const char *[]){"Devices", apr_psprintf(r->p, "%d", (int)c->uses)});
    rly_table_add(table, (const char *[]){"Approved", c->approval ? "one by one" : "at once"});
    rly_table_add(table, (const char *[]){"Ends", rly_time_both(c->expires, c->created, r->p)});
    rly_table_print(table);
    printf("\nThe code, which is shown this once:\n  %s\n", text);
    return RLY_DONE;
}

static int make_code(rly *r, const rly_options *o, int n, const char *const *operands)
{
    relay_code_request req = {.tenant = o->tenant,
                              .label = n ? operands[0] : "",
                              .uses = 1,
                              .approval = o->approval,
                              .ttl = o->ttl ? o->ttl : TTL_DEFAULT};
    const char *why = NULL, *text;
    relay_code c;
    json_t *json;
    apr_status_t rv;

    if (o->uses && !relay_number_parse(&req.uses, o->uses, 6))
        return rly_usage_error(r, "-u %s: that is no number of devices", o->uses);
    if ((rv = r->way->code_make(&c, &text, r, &req, &why)) != APR_SUCCESS)
        return rly_fail(rv, why);
    if (!o->json)
        return print_made(r, &c, text);
    json = relay_code_json(&c, r->p);
    json_object_set_new(json, "code", json_string(text));
    return rly_json_print(json);
}

static void print_list(rly *r, const apr_array_header_t *codes)
{
    static const char *const headings[] = {"ID", "TENANT", "LABEL", "DEVICES", "ENDS", "BY"};
    rly_table *table = rly_table_create(r->p, 6, headings);

    for (int i = 0; i < codes->nelts; i++) {
        const relay_code *c = APR_ARRAY_IDX(codes, i, relay_code *);

        rly_table_add(table,
                      (const char *[]){c->id, c->tenant, c->label,
                                       apr_psprintf(r->p, "%d of %d", (int)c->used, (int)c->uses),
                                       rly_time_local(c->expires, r->p), c->by});
    }
    rly_table_print(table);
}

static int list_codes(rly *r, const rly_options *o, int n, const char *const *operands)
{
    apr_array_header_t *codes;
    const char *why = NULL;
    apr_status_t rv = r->way->code_list(&codes, r, o->tenant, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    if (o->json)
        return rly_json_print(relay_rows_json("codes", codes, relay_code_json, r->p));
    if (codes->nelts)
        print_list(r, codes);
    else
        puts("There is no code.");
    return RLY_DONE;
}

static int revoke_one(rly *r, const char *id)
{
    const char *why = NULL;
    apr_status_t rv = r->way->code_revoke(r, id, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, apr_psprintf(r->p, "cannot revoke %s: %s", id, why));
    printf("revoked %s\n", id);
    return RLY_DONE;
}

static int revoke_codes(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, revoke_one);
}

static int run(rly *r, int argc, const char *const *argv)
{
    static const rly_verb verbs[] = {{"new", make_code, 0, 1, "one label at a time"},
                                     {"list", list_codes, 0, 0, "list takes no operands"},
                                     {"revoke", revoke_codes, 1, RLY_ANY_NUMBER,
                                      "which code? Give its id; rly code list shows them"},
                                     {NULL, NULL, 0, 0, NULL}};

    return rly_verbs_run(r, argc, argv, verbs);
}

const rly_command rly_cmd_code = {
    .name = "code",
    .summary = "make, list and revoke codes by which devices enrol",
    .takes = "upEtj",
    .usage = "[--uses N] [--approval] [--tenant TENANT] [-t TTL] [--json] new|list|revoke "
             "[LABEL|ID...]",
    .about =
        "A device enrols with a code at the API, and is in one tenant then. `new' makes a code "
        "and prints it, this once: Redis has its SHA-256 only. It lets in as many devices as "
        "--uses says, one by default, until its end (-t; 7d by default). `list' shows all "
        "codes, or those of one TENANT. `revoke' ends codes at once; the devices that came by "
        "them stay.\n",
    .examples = "  rly code new --uses 50 --tenant bern -t 30d 'tills of Bern'\n"
                "  rly code list\n"
                "  rly code revoke 0123456789abcdef\n",
    .run = run};
