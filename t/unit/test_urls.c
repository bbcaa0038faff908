/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* URLs in the fields of a request: which name the public name, and what becomes of them. */

#include "../../mod_relay/request/urls.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>

static apr_pool_t *pool;

#define NAS .name = "nas", .domain = "relay.test", .to = "http://10.0.0.9:81"

static const mod_relay_urls tls = {NAS, .tls = 1}, tls_port = {NAS, .tls = 1, .port = 8443},
                            plain = {NAS}, plain_port = {NAS, .port = 8080};

/* rest NULL: it stays as it is. Else `to' comes before it. */
static const struct {
    const mod_relay_urls *urls;
    const char *url, *rest;
} rows[] = {
    {&tls, "https://nas.relay.test", ""},
    {&tls, "https://nas.relay.test/", "/"},
    {&tls, "https://nas.relay.test/a?b#c", "/a?b#c"},
    {&tls, "https://nas.relay.test?b", "?b"},
    {&tls, "https://nas.relay.test#c", "#c"},
    {&tls, "HTTPS://NAS.Relay.TEST/", "/"},
    {&tls, "https://nas.relay.test:443/", "/"},
    {&tls, "https://nas.relay.test:/", "/"},
    {&tls, "https://nas.relay.test./", "/"},
    {&tls, "https://nas.relay.test.:443/", "/"},
    {&tls, "https://me:pw@nas.relay.test/", "/"},
    {&tls, "https://evil@nas.relay.test/", "/"},
    {&tls, "//nas.relay.test/a", "/a"},
    {&tls, "https://nas.relay.test\\a", "\\a"},
    {&tls_port, "https://nas.relay.test:8443/", "/"},
    {&tls_port, "https://nas.relay.test:08443/", "/"},
    {&plain, "http://nas.relay.test/", "/"},
    {&plain, "http://nas.relay.test:80/", "/"},
    /* TLS ended ahead of httpd. */
    {&plain, "https://nas.relay.test/", "/"},
    {&plain_port, "http://nas.relay.test:8080/", "/"},
    /* Other origins. */
    {&tls, "http://nas.relay.test/", NULL},
    {&tls, "https://nas.relay.test:444/", NULL},
    {&tls, "https://nas.relay.test:80/", NULL},
    {&tls_port, "https://nas.relay.test/", NULL},
    {&plain, "http://nas.relay.test:443/", NULL},
    {&tls, "https://nas2.relay.test/", NULL},
    {&tls, "https://www.nas.relay.test/", NULL},
    {&tls, "https://relay.test/", NULL},
    {&tls, "https://nas.relay.test.evil.example/", NULL},
    {&tls, "https://nas.relay.testing/", NULL},
    {&tls, "https://nas.relay.test@evil.example/", NULL},
    {&tls, "https://evil.example/https://nas.relay.test/", NULL},
    {&tls, "https://evil.example#@nas.relay.test/", NULL},
    {&tls, "https://evil.example?@nas.relay.test/", NULL},
    {&tls, "https://evil.example\\@nas.relay.test/", NULL},
    {&tls, "https://evil.example/@nas.relay.test/", NULL},
    {&tls, "wss://nas.relay.test/", NULL},
    {&tls, "ftp://nas.relay.test/", NULL},
    /* None at all. */
    {&tls, "", NULL},
    {&tls, "null", NULL},
    {&tls, "/a", NULL},
    {&tls, "nas.relay.test", NULL},
    {&tls, "https:/nas.relay.test/", NULL},
    {&tls, "https:nas.relay.test/", NULL},
    {&tls, "https://", NULL},
    {&tls, "https:///", NULL},
    {&tls, "https://:443", NULL},
    {&tls, " https://nas.relay.test/", NULL},
    {&tls, "https://nas.relay.test /", NULL},
    {&tls, "https://nas.relay.test:443x/", NULL},
    {&tls, "https://nas.relay.test:99999999999999999999/", NULL},
    {&tls, "https://nas.relay.test:4294967739/", NULL},
    {&tls, "https://nas.relay.test, https://nas.relay.test", NULL},
};

static void test_urls(void)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *made = mod_relay_url_to_device(rows[i].url, rows[i].urls, pool);

        if (rows[i].rest)
            is(made, apr_pstrcat(pool, rows[i].urls->to, rows[i].rest, NULL), "`%s' is public",
               rows[i].url);
        else
            ok(made == rows[i].url, "`%s' stays", rows[i].url);
    }
}

#define PUBLIC "https://nas.relay.test"
#define DEVICE "http://10.0.0.9:81"

static const struct {
    const char *value, *made; /* NULL: it stays */
} ifs[] = {
    {"<" PUBLIC "/a> (<urn:uuid:1>)", "<" DEVICE "/a> (<urn:uuid:1>)"},
    {"<" PUBLIC "/a> (<urn:1>) (Not <urn:2>) <" PUBLIC "/b> ([\"e\"])",
     "<" DEVICE "/a> (<urn:1>) (Not <urn:2>) <" DEVICE "/b> ([\"e\"])"},
    {"<https://evil.example/> (<urn:1>) <" PUBLIC "/b> (<urn:2>)",
     "<https://evil.example/> (<urn:1>) <" DEVICE "/b> (<urn:2>)"},
    {" <" PUBLIC ">(<urn:1>)", " <" DEVICE ">(<urn:1>)"},
    {"(<" PUBLIC "/token>)", NULL},
    {"(<urn:1>) (<" PUBLIC "/token>)", NULL},
    {"([\")<" PUBLIC "/>\"])", NULL},
    {"([\")\"] <" PUBLIC "/>)", NULL},
    {"([\"never closed <" PUBLIC "/>", NULL},
    {"(<never closed " PUBLIC "/", NULL},
    {"<" PUBLIC ">", "<" DEVICE ">"},
    {"<" PUBLIC "/never", "<" DEVICE "/never"},
    {"<https://nas.relay.test(<urn:1>)", NULL},
    {"</a> (<urn:1>)", NULL},
    {"<> ()", NULL},
    {"<", NULL},
    {"<<<>>>(((", NULL},
    {"", NULL},
};

static void test_if(void)
{
    apr_pool_t *p;
    char *many = NULL;
    int i;

    for (i = 0; i < (int)(sizeof(ifs) / sizeof(ifs[0])); i++) {
        char *value = strdup(ifs[i].value); /* where a sanitizer sees its end */
        const char *made = mod_relay_if_to_device(value, &tls, pool);

        if (ifs[i].made)
            is(made, ifs[i].made, "If, row %d", i);
        else
            ok(made == value, "If, row %d: stays", i);
        free(value);
    }
    apr_pool_create(&p, pool);
    for (i = 0, many = apr_pstrdup(p, ""); i < 8; i++)
        many = apr_pstrcat(p, many, *many ? many : "<" PUBLIC "/a> (<urn:1>) ", NULL);
    ok(strlen(mod_relay_if_to_device(many, &tls, p)) ==
           strlen(many) - 128 * (strlen(PUBLIC) - strlen(DEVICE)),
       "If with many tags");
    apr_pool_destroy(p);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_urls();
    test_if();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
