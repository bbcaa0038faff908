/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: a visitor's cookies and path, as mod_relay reads them. */

#include "../../mod_relay/request/cookies.h"
#include "fuzz.h"

#define PATHS 12

/* What is left has no pair of that name and all others, and is left alone when it is read again. */
static void check_header(const char *header, apr_pool_t *p)
{
    const char *kept = mod_relay_cookies_without(header, "o", p), *at = header, *left = kept;
    mod_relay_cookie c, k;

    MUST(strlen(kept) <= 2 * strlen(header));
    MUST(strcmp(mod_relay_cookies_without(kept, "o", p), kept) == 0);
    while (mod_relay_cookie_next(&at, &c)) {
        MUST(c.name >= header && c.value + c.value_len <= at && !memchr(c.name, ';', c.name_len));
        if (mod_relay_cookie_is(&c, "o"))
            continue;
        MUST(mod_relay_cookie_next(&left, &k));
        MUST(k.name_len == c.name_len && k.value_len == c.value_len);
        MUST(memcmp(k.name, c.name, c.name_len) == 0 && memcmp(k.value, c.value, c.value_len) == 0);
    }
    MUST(!mod_relay_cookie_next(&left, &k));
}

int fuzz_cookies(const char *text, size_t size, apr_pool_t *p)
{
    const char *paths[PATHS];
    int n = mod_relay_cookie_paths(paths, PATHS, text, p), i;

    MUST(n >= 1 && n <= PATHS);
    for (i = 0; i < n; i++)
        MUST(*paths[i] == '/' && fuzz_is_plain(paths[i]) && !strchr(paths[i], ';'));
    check_header(text, p);
    return mod_relay_cookies_have(text, "o", "1");
}
