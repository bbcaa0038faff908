/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Enrolment codes: a tenant's admin makes, sees and revokes those of his tenant. */

#include "answer.h"
#include "body.h"
#include "made.h"
#include "pages.h"
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

int api_codes_make(api_call *c)
{
    code_words words = {.uses = 1};
    relay_code_request req = {.actor = c->actor};
    const char *why = NULL, *text;
    relay_code code;
    apr_status_t rv;
    int answer;

    if (!api_body_read(c, &words, members, &answer) ||
        (answer = api_made_for(c, words.tenant, words.ttl, "codes", &req.tenant, &req.ttl)) !=
            DECLINED)
        return answer;
    req.label = words.label;
    req.once = c->once; /* the body is part of it */
    req.uses = words.uses;
    req.approval = words.approval;
    rv = relay_code_make(&code, &text, c->store, c->cfg, &req, c->p, &why);
    return rv == APR_SUCCESS
               ? api_made_answer(c, "code", code.id, relay_code_json(&code, c->p), text)
               : api_problem_why(c, rv, why);
}

int api_codes_revoke(api_call *c)
{
    const char *why = NULL;
    apr_status_t rv = relay_code_revoke(c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer_nothing(c) : api_problem_why(c, rv, why);
}
