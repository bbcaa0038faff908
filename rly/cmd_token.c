/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "output.h"
#include "relay_fleet_json.h"
#include "relay_token.h"
#include "relay_token_json.h"
#include "verbs.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

#define TTL_DEFAULT apr_time_from_sec(APR_INT64_C(90) * 86400)

static int print_made(rly *r, const relay_token *t, const char *text)
{
    rly_table *table = rly_table_create(r->p, 2, NULL);

    rly_table_add(table, (const char *[]){"Id", t->id});
    if (*t->label)
        rly_table_add(table, (const char *[]){"Label", t->label});
    rly_table_add(table, (const char *[]){"Role", t->role});
    rly_table_add(table, (const char *[]){"Tenant", t->tenant ? t->tenant : "all"});
    rly_table_add(table, (const char *[]){"Ends", rly_time_both(t->expires, t->created, r->p)});
    rly_table_print(table);
    printf("\nThe token, which is shown this once:\n  %s\n", text);
    return RLY_DONE;
}

static int make_token(rly *r, const rly_options *o)
{
    relay_token_request req = {.role = o->role ? o->role : "viewer",
                               .tenant = o->tenant,
                               .label = o->noperands == 2 ? o->operands[1] : "",
                               .ttl = o->ttl ? o->ttl : TTL_DEFAULT};
    const char *why = NULL, *text;
    relay_token t;
    json_t *json;
    apr_status_t rv;

    if (o->noperands > 2)
        return rly_usage_error(r, "one label at a time");
    if ((rv = r->way->token_make(&t, &text, r, &req, &why)) != APR_SUCCESS)
        return rly_fail(rv, why);
    if (!o->json)
        return print_made(r, &t, text);
    json = relay_token_json(&t, r->p);
    json_object_set_new(json, "token", json_string(text));
    return rly_json_print(json);
}

static void print_list(rly *r, const apr_array_header_t *tokens)
{
    static const char *const headings[] = {"ID", "ROLE", "TENANT", "LABEL", "ENDS", "BY"};
    rly_table *table = rly_table_create(r->p, 6, headings);

    for (int i = 0; i < tokens->nelts; i++) {
        const relay_token *t = APR_ARRAY_IDX(tokens, i, relay_token *);

        rly_table_add(table, (const char *[]){t->id, t->role, t->tenant ? t->tenant : "all",
                                              t->label, rly_time_local(t->expires, r->p), t->by});
    }
    rly_table_print(table);
}

static int list_tokens(rly *r, const rly_options *o)
{
    apr_array_header_t *tokens;
    const char *why = NULL;
    apr_status_t rv;

    if (o->noperands > 1)
        return rly_usage_error(r, "list takes no operands");
    rv = r->way->token_list(&tokens, r, o->tenant, &why);
    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    if (o->json)
        return rly_json_print(relay_rows_json("tokens", tokens, relay_token_json, r->p));
    if (tokens->nelts)
        print_list(r, tokens);
    else
        puts("There is no token.");
    return RLY_DONE;
}

static int revoke_one(rly *r, const char *id)
{
    apr_array_header_t *ids;
    const char *why = NULL;
    apr_status_t rv = r->way->token_revoke(&ids, r, id, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, apr_psprintf(r->p, "cannot revoke %s: %s", id, why));
    for (int i = 0; i < ids->nelts; i++)
        printf("revoked %s%s\n", APR_ARRAY_IDX(ids, i, const char *),
               i ? ", which was made with it" : "");
    return RLY_DONE;
}

static int revoke_tokens(rly *r, const rly_options *o)
{
    if (o->noperands < 2)
        return rly_usage_error(r, "which token? Give its id; rly token list shows them");
    return rly_for_each(r, o->noperands - 1, o->operands + 1, revoke_one);
}

static int run(rly *r, int argc, const char *const *argv)
{
    static const struct {
        const char *name;
        int (*run)(rly *r, const rly_options *o);
    } verbs[] = {{"new", make_token}, {"list", list_tokens}, {"revoke", revoke_tokens}};
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    for (size_t i = 0; o.noperands && i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(o.operands[0], verbs[i].name) == 0)
            return (status = rly_connect(r)) == RLY_DONE ? verbs[i].run(r, &o) : status;
    return rly_usage_error(r, "what of tokens? There are new, list and revoke");
}

const rly_command rly_cmd_token = {
    .name = "token",
    .summary = "make, list and revoke tokens of the API",
    .takes = "REtj",
    .usage = "[--role ROLE] [--tenant TENANT] [-t TTL] [--json] new|list|revoke [LABEL|ID...]",
    .about = "Tokens are what the API (mod_relay_api) asks of its callers. `new' makes one and "
             "prints it, this once: Redis has its SHA-256 only. It lives as long as -t says, 90d "
             "by default. LABEL says whose it is. `list' shows all tokens, or those of one "
             "TENANT. `revoke' ends tokens at once, and those that were made with them.\n",
    .examples = "  rly token new --role operator --tenant bern -t 365d 'portal of Bern'\n"
                "  rly token list\n"
                "  rly token revoke m3k7q2w5x4n6b2a7\n",
    .run = run};
