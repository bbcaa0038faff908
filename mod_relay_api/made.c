/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "made.h"
#include "answer.h"
#include "relay_duration.h"

int api_made_for(api_call *c, const char *tenant, const char *ttl, const char *things,
                 const char **whose, apr_interval_time_t *lives)
{
    const char *why = NULL;

    if (c->token.tenant && tenant && strcmp(tenant, c->token.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token makes %s of its own tenant only", things);
    if (relay_duration_parse(lives, ttl, c->p, &why) != APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: %s", why);
    *whose = tenant ? tenant : c->token.tenant;
    return DECLINED;
}

int api_made_answer(api_call *c, const char *thing, const char *id, json_t *json, const char *text)
{
    /* Nobody has its text any more, so that it cannot be answered again. */
    if (!text) {
        json_decref(json);
        return api_problem(c, API_REFUSED,
                           "%s %s was made under this Idempotency-Key, and its text is shown "
                           "only once: if you do not have it, revoke that one and make another",
                           thing, id);
    }
    json_object_set_new(json, thing, json_string(text));
    return api_answer(c, HTTP_CREATED, json);
}
