/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Tokens: a tenant's admin makes, sees and revokes those of his tenant. */

#include "answer.h"
#include "body.h"
#include "pages.h"
#include "relay_duration.h"
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

static int make(api_call *c, const relay_token_request *req)
{
    const char *why = NULL, *text;
    relay_token t;
    json_t *json;
    apr_status_t rv = relay_token_make(&t, &text, c->store, c->cfg, req, c->p, &why);

    if (rv != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    /* Nobody has its text any more, so that it cannot be answered again. */
    if (!text)
        return api_problem(c, API_REFUSED,
                           "token %s was made under this Idempotency-Key, and its text is shown "
                           "only once: if you do not have it, revoke that one and make another",
                           t.id);
    json = relay_token_json(&t, c->p);
    json_object_set_new(json, "token", json_string(text));
    return api_answer(c, HTTP_CREATED, json);
}

int api_tokens_make(api_call *c)
{
    token_words words = {.role = NULL};
    relay_token_request req = {.actor = c->actor};
    const char *why = NULL;
    int refused;

    if (!api_body_read(c, &words, members, &refused))
        return refused;
    if (c->token.tenant && words.tenant && strcmp(words.tenant, c->token.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token makes tokens of its own tenant only");
    if (relay_duration_parse(&req.ttl, words.ttl, c->p, &why) != APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: %s", why);
    if (req.ttl == 0)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: give a time, for example 90d");
    req.role = words.role;
    req.tenant = words.tenant ? words.tenant : c->token.tenant;
    req.label = words.label;
    req.once = c->once;
    return make(c, &req);
}

int api_tokens_revoke(api_call *c)
{
    apr_array_header_t *ids;
    const char *why = NULL;
    apr_status_t rv = relay_token_revoke(&ids, c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, relay_revoked_json(ids, c->p))
                             : api_problem_why(c, rv, why);
}
