/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "query.h"
#include "relay_name.h"
#include "relay_record.h"
#include "relay_text.h"

#include <apr_lib.h>
#include <string.h>

#define QUERY_MAX 2000

/* A `+` is a blank, as forms have it. @return whether it could be read */
static int decode(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '+')
            *c = ' ';
    return relay_text_unescape(text);
}

static int is_known(const char *name, const char *known)
{
    apr_size_t len = strlen(name);

    for (; *known; known += strcspn(known, " ") + 1)
        if (strcspn(known, " ") == len && len && memcmp(known, name, len) == 0)
            return 1;
    return 0;
}

static const char *add(apr_table_t *table, char *pair, const char *known, const char **which)
{
    char *value = strchr(pair, '=');

    if (value)
        *value++ = '\0';
    *which = pair;
    if (!value)
        return "a parameter of the URL is written NAME=VALUE";
    if (!is_known(pair, known))
        return "the URL has a parameter that is not known here; tokens are never taken from a URL";
    if (!decode(value) || !relay_text_is_plain(value))
        return "the value of this parameter of the URL cannot be read as UTF-8";
    if (apr_table_get(table, pair))
        return "this parameter of the URL is given twice";
    apr_table_setn(table, pair, value);
    return NULL;
}

apr_status_t api_query_parse(apr_table_t **out, const char *text, const char *known, apr_pool_t *p,
                             const char **which, const char **why)
{
    apr_table_t *table = apr_table_make(p, 4);
    const char *fault = NULL;
    char *pair, *state;

    *which = "";
    if (text && strlen(text) > QUERY_MAX)
        fault = "the parameters of the URL are too long";
    for (pair = text && !fault ? apr_strtok(apr_pstrdup(p, text), "&", &state) : NULL;
         pair && !fault; pair = apr_strtok(NULL, "&", &state))
        fault = add(table, pair, known, which);
    if (fault) {
        *why = fault;
        return RELAY_EINPUT;
    }
    *out = table;
    return APR_SUCCESS;
}

int api_cursor_parse(apr_time_t *expires, const char **id, const char *text, apr_pool_t *p)
{
    const char *dash = strchr(text, '-');

    if (!dash || !relay_time_parse(expires, apr_pstrmemdup(p, text, (apr_size_t)(dash - text))) ||
        relay_name_check(dash + 1, strlen(dash + 1), NULL, NULL) != APR_SUCCESS)
        return 0;
    *id = apr_pstrdup(p, dash + 1);
    return 1;
}

const char *api_cursor_print(apr_time_t expires, const char *id, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_TIME_T_FMT "-%s", apr_time_as_msec(expires), id);
}

const char *api_bearer(const char *field)
{
    static const char scheme[] = "bearer ";

    for (apr_size_t i = 0; i < sizeof(scheme) - 1; i++)
        if (apr_tolower(field[i]) != scheme[i])
            return NULL;
    return field + sizeof(scheme) - 1;
}

int api_wants_text(const char *field)
{
    const char *text = strstr(field, "text/plain"), *json = strstr(field, "application/json");

    return text && (!json || text < json);
}

int api_once_is_valid(const char *text)
{
    apr_size_t i;

    for (i = 0; text[i]; i++)
        if (i >= 255 || text[i] <= ' ' || text[i] > '~')
            return 0;
    return i > 0;
}
