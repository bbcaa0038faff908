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
    case JSON_REAL:
        return apr_psprintf(p, "%.2f", json_real_value(json));
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
    const char *dot = *path ? "." : "";
    json_t *object = (json_t *)json; /* jansson's iterators do not change it */

    if (json_is_object(json)) {
        for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
            add(lines, apr_pstrcat(p, path, dot, json_object_iter_key(at), NULL),
                json_object_iter_value(at), p);
    }
    else if (json_is_array(json)) {
        for (size_t i = 0; i < json_array_size(json); i++)
            add(lines, apr_psprintf(p, "%s%s%" APR_SIZE_T_FMT, path, dot, i),
                json_array_get(json, i), p);
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
