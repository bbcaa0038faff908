/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cookie_pairs.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

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
    /* What devices make of `name =value` differs: some take the name without the blank. */
    while (c->name_len && (p[c->name_len - 1] == ' ' || p[c->name_len - 1] == '\t'))
        c->name_len--;
    return 1;
}

int mod_relay_cookie_is(const mod_relay_cookie *c, const char *name)
{
    return c->name_len == strlen(name) && memcmp(c->name, name, c->name_len) == 0;
}

int mod_relay_cookies_have(const char *header, const char *name, const char *value)
{
    mod_relay_cookie c;

    while (mod_relay_cookie_next(&header, &c))
        if (mod_relay_cookie_is(&c, name) && c.value_len == strlen(value) &&
            memcmp(c.value, value, c.value_len) == 0)
            return 1;
    return 0;
}

const char *mod_relay_cookies_without(const char *header, const char *name, apr_pool_t *p)
{
    const char *at = header;
    char *kept, *end;
    mod_relay_cookie c;
    int found = 0;

    if (!strstr(header, name))
        return header;
    kept = end = apr_palloc(p, 2 * strlen(header) + 1); /* `a;b` becomes `a; b` */
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
    return found ? kept : header;
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
