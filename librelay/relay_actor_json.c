/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_actor_json.h"

#include <stdlib.h>

json_t *relay_actor_json(const relay_actor *actor)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "by", relay_actor_text(actor->by), "from",
                     relay_actor_text(actor->from), "request", relay_actor_text(actor->request),
                     "across", actor->tenant == NULL);
}

json_t *relay_once_json(const relay_once *once)
{
    return once ? json_pack("{s:s, s:s, s:s}", "owner", once->owner, "key", once->key, "request",
                            once->request)
                : NULL;
}

const char *relay_json_argument(json_t *json, apr_pool_t *p)
{
    char *dumped = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *copy = apr_pstrdup(p, dumped ? dumped : "{}");

    free(dumped);
    json_decref(json);
    return copy;
}
