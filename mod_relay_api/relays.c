/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Relays. They are nobody's: a tenant's token sees which there are, and not how much others use
 * them; who drains one sees all tenants. */

#include "answer.h"
#include "body.h"
#include "relay_fleet_json.h"

static json_t *host_json(const api_call *c, const apr_array_header_t *hosts, int i)
{
    return relay_host_json(APR_ARRAY_IDX(hosts, i, const relay_host *), c->token.tenant == NULL,
                           c->p);
}

int api_relays_list(api_call *c)
{
    apr_array_header_t *hosts;
    json_t *array = json_array();
    const char *why = NULL;
    apr_status_t rv = relay_hosts_read(&hosts, c->store, NULL, c->p, &why);

    if (rv != APR_SUCCESS) {
        json_decref(array);
        return api_problem_why(c, rv, why);
    }
    for (int i = 0; i < hosts->nelts; i++)
        json_array_append_new(array, host_json(c, hosts, i));
    return api_answer(c, HTTP_OK, json_pack("{s:i, s:o}", "v", 1, "relays", array));
}

int api_relays_show(api_call *c)
{
    apr_array_header_t *hosts;
    const char *why = NULL;
    apr_status_t rv = relay_hosts_read(&hosts, c->store, c->object, c->p, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, host_json(c, hosts, 0))
                             : api_problem_why(c, rv, why);
}

typedef struct change_words {
    int draining;
} change_words;

int api_relays_change(api_call *c)
{
    static const api_member members[] = {{"draining", API_SWITCH, 1, 0,
                                          offsetof(change_words, draining)},
                                         {NULL, API_TEXT, 0, 0, 0}};
    change_words words = {0};
    const char *why = NULL;
    apr_status_t rv;
    int refused;

    if (c->token.tenant)
        return api_problem(c, API_FORBIDDEN, "a relay serves all tenants: this token sees one");
    if (!api_body_read(c, &words, members, &refused))
        return refused;
    rv = relay_host_drain(c->store, c->object, words.draining, &c->actor, c->p, &why);
    return rv == APR_SUCCESS ? api_relays_show(c) : api_problem_why(c, rv, why);
}
