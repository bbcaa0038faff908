/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* mod_relay's cookies: pairs of a header, a header without some, the paths that
 * a cookie can have. */
#include "../../mod_relay/request/cookies.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <string.h>

static const struct {
    const char *header, *without; /* NULL: as it was */
} headers[] = {
    {"", NULL},
    {"a=1", NULL},
    {"o=1", ""},
    {"o=", ""},
    {"o =1", ""},
    {"o\t= 1", ""},
    {"o", NULL}, /* a value without a name */
    {"=o", NULL},
    {"a=1; o=1; b=2", "a=1; b=2"},
    {"o=1;a=1", "a=1"},
    {"a=1;o=1", "a=1"},
    {"o=1; o=2; o=3", ""},
    {"a=o=1", NULL},
    {"oo=1", NULL},
    {"O=1", NULL},
    {"a=1, o=1", NULL},
    {" ;; o=1 ;; b ;", "b"},
    {"a = 1 ; o=1", "a = 1"},
    {"x;y;z;o=1", "x; y; z"},
    {"\xff=\x01; o=1", "\xff=\x01"},
};

static const struct {
    const char *uri, *paths; /* joined by blanks */
} uris[] = {
    {"", "/"},
    {"*", "/"},
    {"/", "/"},
    {"/?x=/y", "/"},
    {"/a", "/ /a"},
    {"/a/", "/ /a /a/"},
    {"/a/b", "/ /a /a/ /a/b"},
    {"/a?b/c", "/ /a"},
    {"/a/b#c/d", "/ /a /a/ /a/b"},
    {"//a", "/ //a"},
    {"/a;b/c", "/"},
    {"/a/b;c/d", "/ /a /a/"},
    {"/%2f/x", "/ /%2f /%2f/ /%2f/x"},
    {"http://h/a", "/"},
    {"/a/b/c/d/e/f/g/h/i/j",
     "/ /a /a/ /a/b /a/b/ /a/b/c /a/b/c/ /a/b/c/d /a/b/c/d/ /a/b/c/d/e /a/b/c/d/e/"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_without(apr_pool_t *pool)
{
    unsigned i;

    for (i = 0; i < COUNT(headers); i++) {
        const char *got = mod_relay_cookies_without(headers[i].header, "o", pool);

        is(got, headers[i].without ? headers[i].without : headers[i].header, "%s",
           headers[i].header);
        ok(headers[i].without || got == headers[i].header, "`%s': not copied without need",
           headers[i].header);
    }
}

static void test_have(void)
{
    ok(mod_relay_cookies_have("a=1; o=id; b", "o", "id"), "a pair is found");
    ok(mod_relay_cookies_have("o=no; o=id", "o", "id"), "the second of that name, too");
    ok(!mod_relay_cookies_have("o=id2; oo=id; a=o=id; o", "o", "id"), "not one that is like it");
    ok(!mod_relay_cookies_have("id", "", "i"), "nor part of a value");
}

static void test_paths(apr_pool_t *pool)
{
    unsigned i;

    for (i = 0; i < COUNT(uris); i++) {
        const char *paths[12], *joined = "";
        int n = mod_relay_cookie_paths(paths, 12, uris[i].uri, pool), j;

        for (j = 0; j < n; j++)
            joined = apr_pstrcat(pool, joined, j ? " " : "", paths[j], NULL);
        is(joined, uris[i].paths, "%s", uris[i].uri);
    }
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_without(pool);
    test_have();
    test_paths(pool);
    apr_terminate();
    return done_testing();
}
