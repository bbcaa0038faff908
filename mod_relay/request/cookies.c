/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cookies.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

int mod_relay_cookie_is_hidden(const apr_array_header_t *names, const char *name, apr_size_t length)
{
    int i;

    for (i = 0; i < names->nelts; i++) {
        const char *pattern = APR_ARRAY_IDX(names, i, const char *);
        apr_size_t most = strlen(pattern);

        if (most && pattern[most - 1] == '*'
                ? length >= most - 1 && memcmp(name, pattern, most - 1) == 0
                : length == most && memcmp(name, pattern, most) == 0)
            return 1;
    }
    return 0;
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && apr_isspace(*at))
        at++;
    return at;
}

/*
 * *name .. *name + length: what stands before `=`, without the spaces around it. 0 where there is
 * no `=`.
 */
static int name_of(const char *at, const char *end, const char **name, apr_size_t *length)
{
    const char *equals = memchr(at, '=', (apr_size_t)(end - at));

    *name = at = skip_spaces(at, end);
    if (!equals)
        return 0;
    while (equals > at && apr_isspace(equals[-1]))
        equals--;
    *length = equals > at ? (apr_size_t)(equals - at) : 0;
    return 1;
}

/*
 * The pieces of a Cookie field, from separator to separator. A piece that belongs to a hidden
 * cookie goes with it: httpd takes `$Path` and the like for its attributes, and what follows a
 * comma without a name is the rest of its value.
 */
const char *mod_relay_cookies_shown(const char *value, const apr_array_header_t *names,
                                    apr_pool_t *p)
{
    const char *at = value, *begin = value, *end = value + strlen(value);
    char *kept = NULL, *to = NULL;
    int hidden = 0;

    for (;; begin = at + 1) { /* at: the separator before the piece, but for the first */
        const char *stop = begin + strcspn(begin, ";,"), *name;
        apr_size_t length = 0;
        int named = name_of(begin, stop, &name, &length);

        if (named && !(hidden && *name == '$'))
            hidden = mod_relay_cookie_is_hidden(names, name, length);
        else if (!named && *at == ';')
            hidden = 0;
        if (hidden && !kept) {
            kept = to = apr_palloc(p, (apr_size_t)(end - value) + 1);
            memcpy(kept, value, (apr_size_t)(at - value));
            to += at - value;
        }
        else if (!hidden && kept) {
            if (to == kept) /* the first that remains: no separator before it */
                at = skip_spaces(begin, stop);
            memcpy(to, at, (apr_size_t)(stop - at));
            to += stop - at;
        }
        if (stop == end)
            break;
        at = stop;
    }
    if (!kept)
        return value;
    *to = '\0';
    return to > kept ? kept : NULL;
}

/* Browsers trim blanks around an attribute's name; some have trimmed other bytes. */
static int is_domain(const char *at, const char *end)
{
    static const char domain[] = "domain";
    unsigned n = 0;

    for (; at < end && *at != '='; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            continue;
        if (n >= sizeof(domain) - 1 || apr_tolower(*at) != domain[n++])
            return 0;
    }
    return n == sizeof(domain) - 1;
}

/*
 * Whether httpd would read one of the names from what a browser sends of this cookie. One without a
 * name comes back as its value alone: `=session=x` as `session=x`; and httpd finds `session=x` in
 * `a=b,session=x`, too.
 */
static int has_hidden(const char *at, const char *end, const apr_array_header_t *names)
{
    while (at < end) {
        const char *stop = memchr(at, ',', (apr_size_t)(end - at)), *name;
        apr_size_t length;

        if (!stop)
            stop = end;
        while (at < stop && (apr_isspace(*at) || *at == '='))
            at++;
        if (name_of(at, stop, &name, &length) && mod_relay_cookie_is_hidden(names, name, length))
            return 1;
        at = stop + 1;
    }
    return 0;
}

int mod_relay_set_cookie_clean(char *value, const apr_array_header_t *names)
{
    char *at = value + strcspn(value, ";"), *to = at;

    if (has_hidden(value, at, names))
        return 0;
    while (*at) {
        char *end = at + 1 + strcspn(at + 1, ";");

        if (!is_domain(at + 1, end)) {
            memmove(to, at, (apr_size_t)(end - at));
            to += end - at;
        }
        at = end;
    }
    *to = '\0';
    return 1;
}
