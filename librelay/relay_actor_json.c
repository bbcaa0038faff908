/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_actor_json.h"

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
