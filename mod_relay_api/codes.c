/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Enrolment codes: a tenant's admin makes, sees and revokes those of his tenant. */

#include "answer.h"
#include "body.h"
#include "pages.h"
#include "relay_duration.h"
#include "relay_fleet_json.h"

typedef struct code_words {
    const char *tenant, *label, *ttl;
    apr_int64_t uses;
    int approval;
} code_words;

static const api_member members[] = {{"uses", API_NUMBER, 0, 0, offsetof(code_words, uses)},
                                     {"ttl", API_TEXT, 1, 0, offsetof(code_words, ttl)},
                                     {"tenant", API_TEXT, 0, 1, offsetof(code_words, tenant)},
                                     {"label", API_TEXT, 0, 1, offsetof(code_words, label)},
                                     {"approval", API_SWITCH, 0, 0, offsetof(code_words, approval)},
                                     {NULL, API_TEXT, 0, 0, 0}};

int api_codes_list(api_call *c)
{
    return api_page_answer(c, &relay_code_rows, "codes", relay_code_json);
}

static int make(api_call *c, const relay_code_request *req)
{
    const char *why = NULL, *text;
    relay_code code;
    json_t *json;
    apr_status_t rv = relay_code_make(&code, &text, c->store, c->cfg, req, c->p, &why);

    if (rv != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    /* As with a token: nobody has its text any more. */
    if (!text)
        return api_problem(c, API_REFUSED,
                           "code %s was made under this Idempotency-Key, and its text is shown "
                           "only once: if you do not have it, revoke that one and make another",
                           code.id);
    json = relay_code_json(&code, c->p);
    json_object_set_new(json, "code", json_string(text));
    return api_answer(c, HTTP_CREATED, json);
}

int api_codes_make(api_call *c)
{
    code_words words = {.uses = 1};
    relay_code_request req = {.actor = c->actor};
    const char *why = NULL;
    int refused;

    if (!api_body_read(c, &words, members, &refused))
        return refused;
    if (c->token.tenant && words.tenant && strcmp(words.tenant, c->token.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token makes codes of its own tenant only");
    if (relay_duration_parse(&req.ttl, words.ttl, c->p, &why) != APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: %s", why);
    req.tenant = words.tenant ? words.tenant : c->token.tenant;
    req.label = words.label;
    req.uses = words.uses;
    req.approval = words.approval;
    req.once = c->once;
    return make(c, &req);
}

int api_codes_revoke(api_call *c)
{
    const char *why = NULL;
    apr_status_t rv = relay_code_revoke(c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer_nothing(c) : api_problem_why(c, rv, why);
}
