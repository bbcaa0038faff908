/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "flat.h"
#include "relay_print.h"

static const char *value_of(const json_t *json, apr_pool_t *p)
{
    switch (json_typeof(json)) {
    case JSON_STRING:
        return relay_print_clean(json_string_value(json), p);
    case JSON_INTEGER:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(json));
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "";
    }
}

/* The answers are the module's own: they lie no deeper than a few steps. */
static void add(apr_array_header_t *lines, const char *path, const json_t *json, apr_pool_t *p)
{
    const char *dot = *path ? "." : "", *key;
    json_t *member;
    size_t i;

    if (json_is_object(json)) {
        json_object_foreach((json_t *)json, key, member)
            add(lines, apr_pstrcat(p, path, dot, key, NULL), member, p);
    }
    else if (json_is_array(json)) {
        json_array_foreach(json, i, member)
            add(lines, apr_psprintf(p, "%s%s%" APR_SIZE_T_FMT, path, dot, i), member, p);
    }
    else if (json) {
        APR_ARRAY_PUSH(lines, const char *) =
            apr_pstrcat(p, path, "=", value_of(json, p), "\n", NULL);
    }
}

const char *api_flat(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *lines = apr_array_make(p, 32, sizeof(const char *));

    add(lines, "", json, p);
    return apr_array_pstrcat(p, lines, 0);
}
