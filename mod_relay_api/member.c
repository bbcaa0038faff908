/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "member.h"

#include <string.h>

static apr_status_t wrong(api_fault *fault, const char *member, const char *why)
{
    fault->member = member;
    fault->why = why;
    return RELAY_EINPUT;
}

static apr_status_t read_texts(apr_array_header_t **out, const api_member *m, const json_t *json,
                               apr_pool_t *p, api_fault *fault)
{
    apr_array_header_t *texts = apr_array_make(p, 4, sizeof(const char *));

    if (!json_is_array(json))
        return wrong(fault, m->name, "this member is an array of strings");
    if (json_array_size(json) > API_MEMBERS_MAX)
        return wrong(fault, m->name, "this member has too many elements");
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *element = json_array_get(json, i);

        if (!json_is_string(element) && !(m->may_null && json_is_null(element)))
            return wrong(fault, apr_psprintf(p, "%s.%" APR_SIZE_T_FMT, m->name, i),
                         "this element is a string");
        APR_ARRAY_PUSH(texts, const char *) = apr_pstrdup(p, json_string_value(element));
    }
    *out = texts;
    return APR_SUCCESS;
}

static apr_status_t read_member(void *out, const api_member *m, const json_t *json, apr_pool_t *p,
                                api_fault *fault)
{
    void *at = (char *)out + m->offset;

    if (m->may_null && json_is_null(json))
        return APR_SUCCESS;
    switch (m->type) {
    case API_TEXT:
        if (!json_is_string(json))
            return wrong(fault, m->name, "this member is a string");
        *(const char **)at = apr_pstrdup(p, json_string_value(json));
        return APR_SUCCESS;
    case API_SWITCH:
        if (!json_is_boolean(json))
            return wrong(fault, m->name, "this member is true or false");
        *(int *)at = json_is_true(json);
        return APR_SUCCESS;
    case API_NUMBER:
        if (!json_is_integer(json) || json_integer_value(json) < 0)
            return wrong(fault, m->name, "this member is a number");
        *(apr_int64_t *)at = json_integer_value(json);
        return APR_SUCCESS;
    default:
        return read_texts(at, m, json, p, fault);
    }
}

static const api_member *find(const api_member *members, const char *name)
{
    for (; members->name; members++)
        if (strcmp(members->name, name) == 0)
            return members;
    return NULL;
}

static apr_status_t read_all(void *out, json_t *json, const api_member *members, apr_pool_t *p,
                             api_fault *fault)
{
    const api_member *m;
    apr_status_t rv;

    if (!json_is_object(json))
        return wrong(fault, "", "the body is no object of JSON");
    for (void *at = json_object_iter(json); at; at = json_object_iter_next(json, at)) {
        const char *name = json_object_iter_key(at);

        if ((m = find(members, name)) == NULL)
            return wrong(fault, apr_pstrndup(p, name, 80), "there is no such member");
        if ((rv = read_member(out, m, json_object_iter_value(at), p, fault)) != APR_SUCCESS)
            return rv;
    }
    for (m = members; m->name; m++)
        if (m->required && !json_object_get(json, m->name))
            return wrong(fault, m->name, "this member is missing");
    return APR_SUCCESS;
}

apr_status_t api_members_read(void *out, const char *text, apr_size_t len,
                              const api_member *members, apr_pool_t *p, api_fault *fault)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    apr_status_t rv;

    if (!json)
        return wrong(fault, "",
                     apr_psprintf(p, "the body is not JSON (line %d, column %d: %s)", error.line,
                                  error.column, error.text));
    rv = read_all(out, json, members, p, fault);
    json_decref(json);
    return rv;
}
