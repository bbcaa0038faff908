/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cookies.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

/* ---- as browsers read them */

int mod_relay_cookie_next(const char **at, mod_relay_cookie *c)
{
    const char *p = *at, *end, *eq;

    while (*p == ' ' || *p == '\t' || *p == ';')
        p++;
    if (!*p)
        return 0;
    end = p + strcspn(p, ";");
    *at = end;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    eq = memchr(p, '=', (apr_size_t)(end - p));
    c->name = p;
    c->name_len = eq ? (apr_size_t)(eq - p) : 0;
    c->value = eq ? eq + 1 : p;
    c->value_len = (apr_size_t)(end - c->value);
    /* Some devices take the name in `name =value` without the blank. */
    while (c->name_len && (p[c->name_len - 1] == ' ' || p[c->name_len - 1] == '\t'))
        c->name_len--;
    return 1;
}

int mod_relay_cookie_is(const mod_relay_cookie *c, const char *name)
{
    return c->name_len == strlen(name) && memcmp(c->name, name, c->name_len) == 0;
}

int mod_relay_cookies_have(const char *field, const char *name, const char *value)
{
    mod_relay_cookie c;

    while (mod_relay_cookie_next(&field, &c))
        if (mod_relay_cookie_is(&c, name) && c.value_len == strlen(value) &&
            memcmp(c.value, value, c.value_len) == 0)
            return 1;
    return 0;
}

const char *mod_relay_cookies_without(const char *field, const char *name, apr_pool_t *p)
{
    const char *at = field;
    char *kept, *end;
    mod_relay_cookie c;
    int found = 0;

    if (!strstr(field, name))
        return field;
    kept = end = apr_palloc(p, 2 * strlen(field) + 1); /* `a;b` becomes `a; b` */
    while (mod_relay_cookie_next(&at, &c)) {
        apr_size_t len = (apr_size_t)(c.value + c.value_len - c.name);

        if (mod_relay_cookie_is(&c, name)) {
            found = 1;
            continue;
        }
        if (end > kept) {
            *end++ = ';';
            *end++ = ' ';
        }
        memcpy(end, c.name, len);
        end += len;
    }
    *end = '\0';
    return found ? kept : field;
}

int mod_relay_cookie_paths(const char **paths, int max, const char *uri, apr_pool_t *p)
{
    const char *c;
    int n = 0;

    paths[n++] = "/";
    if (*uri != '/')
        return n;
    for (c = uri + 1; n < max - 1; c++) {
        int ends = !*c || *c == '?' || *c == '#';

        if (!ends && (*c == ';' || apr_iscntrl(*c)))
            break;
        if ((ends || *c == '/') && c[-1] != '/') {
            paths[n++] = apr_pstrmemdup(p, uri, (apr_size_t)(c - uri));
            if (!ends)
                paths[n++] = apr_pstrmemdup(p, uri, (apr_size_t)(c - uri) + 1);
        }
        if (ends)
            break;
    }
    return n;
}

/* ---- as the strictest of readers does */

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
 * The part before `=`, without the spaces around it: *name, *length. @return 0 where there is no
 * `=`
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
 * Goes through the pieces of a Cookie field, from separator to separator. A piece that belongs to a
 * hidden cookie goes with it: httpd takes `$Path` and the like for its attributes, and a piece
 * without a name after a comma for the rest of its value.
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
 * Would httpd read one of the names from what a browser sends back of this cookie? A cookie without
 * a name comes back as its value alone: `=session=x` as `session=x`. And httpd finds `session=x` in
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
