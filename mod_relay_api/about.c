/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What nobody needs a token for: is all well, and what is there. */

#include "answer.h"
#include "mod_relay_api/openapi_json.h"

int api_health(api_call *c)
{
    const char *why = NULL;
    apr_time_t now;
    apr_status_t rv = relay_store_now(&now, c->store, c->p, &why);

    if (rv != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    return api_answer(c, HTTP_OK, json_pack("{s:i, s:s}", "v", 1, "status", "ok"));
}

int api_openapi(api_call *c)
{
    return api_answer_as(c, "application/json", api_openapi_json);
}
