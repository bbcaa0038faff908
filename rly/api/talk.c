/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "talk.h"

#include <string.h>

apr_status_t rly_talk(rly_api_result *result, rly *r, const char *method, const char *path,
                      json_t *body, const char **why)
{
    const rly_api_request req = {.method = method, .path = path, .body = body};
    apr_status_t rv = rly_api_call(result, r->api->api, &req, r->p, why);

    json_decref(body);
    return rv;
}

const char *rly_talk_path(const rly *r, const char *list_path, const char *id)
{
    return apr_pstrcat(r->p, list_path, "/", rly_api_escape(id, r->p), NULL);
}

int rly_talk_goes_on(const char **next, const char *query, const char *before, const char *cursor,
                     apr_pool_t *p)
{
    if (!cursor || (before && strcmp(before, cursor) == 0))
        return 0;
    *next = apr_pstrcat(p, query, "&cursor=", rly_api_escape(cursor, p), NULL);
    return 1;
}

apr_status_t rly_talk_ended(const char *cursor, apr_pool_t *p, const char **why)
{
    if (!cursor)
        return APR_SUCCESS;
    RELAY_WHY(why, p, "the API's answer cannot be used: its list does not end");
    return RELAY_ERECORD;
}

apr_status_t rly_talk_list(apr_array_header_t **out, rly *r, const char *path, const char *tenant,
                           rly_talk_read *read, const char **why)
{
    const char *query = apr_pstrcat(r->p, path, "?limit=" RLY_TALK_PAGE, NULL), *cursor = NULL,
               *before, *at;
    rly_api_result result;
    apr_status_t rv;
    int n = 0;

    if (tenant)
        query = apr_pstrcat(r->p, query, "&tenant=", rly_api_escape(tenant, r->p), NULL);
    at = query;
    *out = apr_array_make(r->p, 8, sizeof(void *));
    do {
        before = cursor;
        if ((rv = rly_talk(&result, r, "GET", at, NULL, why)) == APR_SUCCESS)
            rv = read(*out, &cursor, result.json, r->p, why);
        json_decref(result.json);
        if (rv != APR_SUCCESS)
            return rv;
    } while (rly_talk_goes_on(&at, query, before, cursor, r->p) && ++n < RLY_TALK_PAGES_MAX);
    return rly_talk_ended(cursor, r->p, why);
}
