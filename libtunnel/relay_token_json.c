/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_token_json.h"
#include "relay_tunnel_json.h"

json_t *relay_token_json(const void *token, apr_pool_t *p)
{
    const relay_token *t = token;

    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "v", 1, "id",
                     relay_json_text(t->id, p), "role", relay_json_text(t->role, p), "tenant",
                     relay_json_text(t->tenant, p), "label", relay_json_text(t->label, p), "by",
                     relay_json_text(t->by, p), "created", relay_json_time(t->created, p),
                     "expires", relay_json_time(t->expires, p));
}

json_t *relay_revoked_json(const apr_array_header_t *ids, apr_pool_t *p)
{
    json_t *array = json_array();

    for (int i = 0; i < ids->nelts; i++)
        json_array_append_new(array, relay_json_text(APR_ARRAY_IDX(ids, i, const char *), p));
    return json_pack("{s:i, s:o}", "v", 1, "revoked", array);
}
