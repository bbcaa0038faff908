/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_needs: which values rly and the records may have, and how they are normalised. */

#include "relay_needs.h"
#include "tap.h"

#include <apr_general.h>

static apr_pool_t *pool;

typedef apr_status_t parser(const char **out, const char *text, apr_pool_t *p, const char **why);

/* value NULL: refused, and why says fault. */
typedef struct row {
    const char *text, *value, *fault;
} row;

static const row hosts[] = {
    {"public", "public", NULL},
    {"PUBLIC", "public", NULL},
    {"device", "device", NULL},
    {"nas.lan", "nas.lan", NULL},
    {"NAS.Lan:8443", "nas.lan:8443", NULL},
    {"nas:0080", "nas:80", NULL},
    {"device:80", "device:80", NULL},
    {"192.168.1.9", "192.168.1.9", NULL},
    {"192.168.1.9:65535", "192.168.1.9:65535", NULL},
    {"localhost", "localhost", NULL},
    {"[FE80::1]", "[fe80::1]", NULL},
    {"[::1]:8080", "[::1]:8080", NULL},
    {"my_nas", "my_nas", NULL},
    {"", NULL, "neither a DNS name"},
    {":80", NULL, "neither a DNS name"},
    {"nas:", NULL, "from 1 to 65535"},
    {"nas:0", NULL, "from 1 to 65535"},
    {"nas:65536", NULL, "from 1 to 65535"},
    {"nas:80:80", NULL, "from 1 to 65535"},
    {"http://nas", NULL, "from 1 to 65535"},
    {"nas/", NULL, "neither a DNS name"},
    {"me@nas", NULL, "neither a DNS name"},
    {"nas?x", NULL, "neither a DNS name"},
    {"nas,public", NULL, "neither a DNS name"},
    {"nas.", NULL, "neither a DNS name"},
    {"-nas", NULL, "neither a DNS name"},
    {"*.lan", NULL, "neither a DNS name"},
    {"1.2.3", NULL, "neither a DNS name"},
    {"::1", NULL, "neither a DNS name"},
    {"[::1", NULL, "not closed"},
    {"[nas]", NULL, "not an IPv6 address"},
    {"nas lan", NULL, "a space"},
    {" nas", NULL, "a space"},
    {"nas\r\nX: y", NULL, "a control"},
    {"nas\x7f", NULL, "a control"},
    {"n\xc3\xa4s", NULL, "non-ASCII"},
};

static const row upgrades[] = {
    {"", "", NULL},
    {"tcp", "tcp", NULL},
    {"TCP", "tcp", NULL},
    {"tcp,spice", "tcp spice", NULL},
    {"tcp, spice", "tcp spice", NULL},
    {" tcp  spdy/3.1,", "tcp spdy/3.1", NULL},
    {"websocket", "websocket", NULL},
    {",", NULL, "is no name"},
    {" ", NULL, "is no name"},
    {"tcp/", NULL, "is no name"},
    {"/1", NULL, "is no name"},
    {"a/b/c", NULL, "is no name"},
    {"tcp;q=1", NULL, "is no name"},
    {"tcp\r\nX: y", NULL, "is no name"},
    {"tcp\ttls", NULL, "is no name"},
    {"t\xc3\xa4p", NULL, "is no name"},
    {"h2c", NULL, "`h2c' is none that"},
    {"tcp,H2C", NULL, "`h2c' is none that"},
    {"h2", NULL, "is none that"},
    {"HTTP/2.0", NULL, "is none that"},
    {"TLS/1.0", NULL, "is none that"},
    {"*", NULL, "is none that"},
    {"ANY", NULL, "is none that"},
    {"none", NULL, "is none that"},
};

static void judge(parser *parse, const char *what, const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = "untouched", *why = "";
        apr_status_t rv = parse(&value, rows[i].text, pool, &why);

        ok(rv == (rows[i].value ? APR_SUCCESS : RELAY_EINPUT), "%s, row %d: status", what, (int)i);
        is(value, rows[i].value ? rows[i].value : "untouched", "%s, row %d: value", what, (int)i);
        if (!rows[i].value && !ok(strstr(why, rows[i].fault), "%s, row %d: why", what, (int)i))
            printf("# said: %s\n", why);
        ok(parse(&value, rows[i].text, pool, NULL) == rv, "the same without why");
    }
}

static void test_long(void)
{
    char text[400];
    const char *value, *why = "";

    for (int i = 0; i < 399; i++)
        text[i] = i % 50 == 49 ? '.' : 'a';
    text[399] = '\0';
    ok(relay_needs_host_parse(&value, text, pool, &why) == RELAY_EINPUT && strstr(why, "too long"),
       "a host that is too long");
    ok(relay_needs_upgrade_parse(&value, text, pool, &why) == RELAY_EINPUT &&
           strstr(why, "is too long"),
       "protocols that are too long");
}

static void test_switch(void)
{
    static const char *const bad[] = {"", "On", "ON", "yes", "1", "on ", "off\n"};
    const char *why = "";
    int on = -1;

    ok(relay_needs_switch_parse(&on, "on", pool, &why) == APR_SUCCESS && on == 1, "on");
    ok(relay_needs_switch_parse(&on, "off", pool, &why) == APR_SUCCESS && on == 0, "off");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(relay_needs_switch_parse(&on, bad[i], pool, &why) == RELAY_EINPUT && on == 0 &&
               strstr(why, "neither `on' nor `off'"),
           "neither on nor off, row %u", i);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    judge(relay_needs_host_parse, "host", hosts, sizeof(hosts) / sizeof(hosts[0]));
    judge(relay_needs_upgrade_parse, "upgrade", upgrades, sizeof(upgrades) / sizeof(upgrades[0]));
    test_long();
    test_switch();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
