/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "member.h"
#include "relay_name.h"
#include "relay_print.h"
#include "relay_text.h"

#include <string.h>
#include <time.h>

#define TIME_BYTES 20 /* 2026-11-20T21:05:00Z */

int rly_member_wrong(rly_members *m, const char *name)
{
    if (!m->wrong)
        m->wrong = name;
    return 0;
}

static const char *text_of(rly_members *m, const json_t *json, const char *name, apr_size_t max)
{
    const char *text = json_string_value(json);

    if (!text || strlen(text) > max || !relay_text_is_plain(text)) {
        rly_member_wrong(m, name);
        return NULL;
    }
    return apr_pstrdup(m->p, text);
}

const char *rly_member_text(rly_members *m, const char *name, apr_size_t max)
{
    return text_of(m, json_object_get(m->json, name), name, max);
}

const char *rly_member_text_or_null(rly_members *m, const char *name, apr_size_t max)
{
    return json_is_null(json_object_get(m->json, name)) ? NULL : rly_member_text(m, name, max);
}

const char *rly_member_label(rly_members *m, const char *name)
{
    const char *text = rly_member_text(m, name, RELAY_NAME_MAX);

    if (text && relay_name_check(text, strlen(text), NULL, NULL) != APR_SUCCESS) {
        rly_member_wrong(m, name);
        return NULL;
    }
    return text;
}

apr_array_header_t *rly_member_texts(rly_members *m, const char *name, int nmax, apr_size_t max)
{
    apr_array_header_t *texts = apr_array_make(m->p, 4, sizeof(const char *));
    const json_t *array = json_object_get(m->json, name);
    const char *text;

    if (!json_is_array(array) || json_array_size(array) > (size_t)nmax)
        rly_member_wrong(m, name);
    for (size_t i = 0; !m->wrong && i < json_array_size(array); i++)
        if ((text = text_of(m, json_array_get(array, i), name, max)) != NULL)
            APR_ARRAY_PUSH(texts, const char *) = text;
    return texts;
}

const char *rly_member_words(rly_members *m, const char *name, apr_size_t max)
{
    return apr_array_pstrcat(m->p, rly_member_texts(m, name, (int)max, max), ' ');
}

apr_time_t rly_member_time(rly_members *m, const char *name, int may_be_null)
{
    const json_t *json = json_object_get(m->json, name);
    const char *text;
    struct tm tm = {0};
    apr_time_t t;

    if (may_be_null && json_is_null(json))
        return 0;
    if ((text = rly_member_text(m, name, TIME_BYTES)) == NULL)
        return 0;
    /* Written again it has to be the same: strptime() forgives a lot. */
    if (strlen(text) == TIME_BYTES && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
        t = apr_time_from_sec(timegm(&tm));
        if (t > 0 && strcmp(relay_print_rfc3339(t, m->p), text) == 0)
            return t;
    }
    rly_member_wrong(m, name);
    return 0;
}

int rly_member_switch(rly_members *m, const char *name)
{
    const json_t *json = json_object_get(m->json, name);

    if (!json_is_boolean(json))
        rly_member_wrong(m, name);
    return json_is_true(json);
}

apr_int64_t rly_member_number(rly_members *m, const char *name, apr_int64_t most)
{
    const json_t *json = json_object_get(m->json, name);
    json_int_t n = json_integer_value(json);

    if (!json_is_integer(json) || n < 0 || n > most) {
        rly_member_wrong(m, name);
        return 0;
    }
    return n;
}

apr_int64_t rly_member_number_or_null(rly_members *m, const char *name, apr_int64_t most)
{
    return json_is_null(json_object_get(m->json, name)) ? -1 : rly_member_number(m, name, most);
}

const char *rly_member_decimal(rly_members *m, const char *name, double most)
{
    const json_t *json = json_object_get(m->json, name);
    double n = json_number_value(json);

    if (json_is_null(json))
        return "";
    if (!json_is_number(json) || !(n >= 0 && n <= most)) {
        rly_member_wrong(m, name);
        return "";
    }
    return apr_psprintf(m->p, "%.2f", n);
}

int rly_member_port(rly_members *m, const char *name)
{
    const json_t *json = json_object_get(m->json, name);
    json_int_t n = json_integer_value(json);

    if (n < 1 || n > 65535) {
        rly_member_wrong(m, name);
        return 0;
    }
    return (int)n;
}

apr_status_t rly_members_end(const rly_members *m, const char **why)
{
    if (!m->wrong)
        return APR_SUCCESS;
    RELAY_WHY(why, m->p,
              "the API's answer cannot be used: its member `%s' is missing or has not its form",
              m->wrong);
    return RELAY_ERECORD;
}

const json_t *rly_member_array(rly_members *m, const char *name, size_t most)
{
    const json_t *array = json_object_get(m->json, name);

    if (json_is_array(array) && json_array_size(array) <= most)
        return array;
    rly_member_wrong(m, name);
    return NULL;
}

apr_status_t rly_member_rows(apr_array_header_t *rows, const char **next, const json_t *json,
                             const char *name, size_t most, rly_member_row *read, apr_pool_t *p,
                             const char **why)
{
    rly_members m = {.json = json, .p = p};
    const json_t *array;
    apr_status_t rv;
    void *row;

    if (next)
        *next = rly_member_text_or_null(&m, "next", RLY_CURSOR_BYTES);
    array = rly_member_array(&m, name, most);
    rv = rly_members_end(&m, why);
    for (size_t i = 0; rv == APR_SUCCESS && i < json_array_size(array); i++)
        if ((rv = read(&row, json_array_get(array, i), p, why)) == APR_SUCCESS)
            APR_ARRAY_PUSH(rows, void *) = row;
    return rv;
}
