/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Tokens: a tenant's admin makes, sees and revokes those of his tenant. */

#include "answer.h"
#include "body.h"
#include "made.h"
#include "pages.h"
#include "relay_token_json.h"

typedef struct token_words {
    const char *role, *tenant, *label, *ttl;
} token_words;

static const api_member members[] = {{"role", API_TEXT, 1, 0, offsetof(token_words, role)},
                                     {"tenant", API_TEXT, 0, 1, offsetof(token_words, tenant)},
                                     {"label", API_TEXT, 0, 1, offsetof(token_words, label)},
                                     {"ttl", API_TEXT, 1, 0, offsetof(token_words, ttl)},
                                     {NULL, API_TEXT, 0, 0, 0}};

int api_tokens_list(api_call *c)
{
    return api_page_answer(c, &relay_token_rows, "tokens", relay_token_json);
}

int api_tokens_make(api_call *c)
{
    token_words words = {.role = NULL};
    relay_token_request req = {.actor = c->actor};
    const char *why = NULL, *text;
    relay_token t;
    apr_status_t rv;
    int answer;

    if (!api_body_read(c, &words, members, &answer) ||
        (answer = api_made_for(c, words.tenant, words.ttl, "tokens", &req.tenant, &req.ttl)) !=
            DECLINED)
        return answer;
    if (req.ttl == 0)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: give a time, for example 90d");
    req.role = words.role;
    req.label = words.label;
    req.once = c->once; /* the body is part of it */
    rv = relay_token_make(&t, &text, c->store, c->cfg, &req, c->p, &why);
    return rv == APR_SUCCESS ? api_made_answer(c, "token", t.id, relay_token_json(&t, c->p), text)
                             : api_problem_why(c, rv, why);
}

int api_tokens_revoke(api_call *c)
{
    apr_array_header_t *ids;
    const char *why = NULL;
    apr_status_t rv = relay_token_revoke(&ids, c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, relay_revoked_json(ids, c->p))
                             : api_problem_why(c, rv, why);
}
