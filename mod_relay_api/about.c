/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What nobody needs a token for: is all well, and what is there. */

#include "answer.h"
#include "mod_relay_api/openapi_json.h"

/* Redis has answered, or the call would not have come here. */
int api_health(api_call *c)
{
    return api_answer(c, HTTP_OK, json_pack("{s:i, s:s}", "v", 1, "status", "ok"));
}

int api_openapi(api_call *c)
{
    return api_answer_as(c, "application/json", api_openapi_json);
}
