/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_redis_url_parse: [redis] url in every form, and a password in none of what is shown. */
#include "relay_config.h"
#include "tap.h"

#include <apr_general.h>

static apr_pool_t *pool;

static const struct {
    const char *url, *unix_path, *host;
    int port;
    const char *user, *password;
    int db;
} urls[] = {
    {"unix:///run/r.sock", "/run/r.sock", NULL, 0, NULL, NULL, 0},
    {"unix:///run/r.sock?db=7", "/run/r.sock", NULL, 0, NULL, NULL, 7},
    {"unix://:pw@/run/r.sock", "/run/r.sock", NULL, 0, NULL, "pw", 0},
    {"unix://me:pw@/run/r.sock?db=1", "/run/r.sock", NULL, 0, "me", "pw", 1},
    {"redis://localhost", NULL, "localhost", 6379, NULL, NULL, 0},
    {"redis://localhost/", NULL, "localhost", 6379, NULL, NULL, 0},
    {"redis://10.0.0.1:6380/2", NULL, "10.0.0.1", 6380, NULL, NULL, 2},
    {"redis://:p%3Aw@h", NULL, "h", 6379, NULL, "p:w", 0},
    {"redis://me:a@b@h:1", NULL, "h", 1, "me", "a@b", 0},
    {"redis://[::1]", NULL, "::1", 6379, NULL, NULL, 0},
    {"redis://[fe80::1%eth0]:6380", NULL, "fe80::1%eth0", 6380, NULL, NULL, 0},
};

static const char *const bad_urls[] = {
    "",
    "localhost",
    "localhost:6379",
    "http://x",
    "redis:",
    "redis:/x",
    "redis://",
    "redis://:6379",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:x",
    "redis://h:",
    "redis://h/x",
    "redis://h/-1",
    "redis://h/1/2",
    "redis://pw@h",
    "redis://a:b%@h",
    "redis://a:b%zz@h",
    "redis://a:b%00@h",
    "redis://[::1",
    "redis://[::1]x",
    "redis://[]",
    "unix://",
    "unix://run/x",
    "unix:/run/x",
    "unix:///x?db=x",
    "unix:///x?y=1",
    "unix://pw@/x",
};

static void test_urls(void)
{
    unsigned i;

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        relay_redis_url *u = NULL;
        const char *why = "";

        if (!ok(relay_redis_url_parse(&u, urls[i].url, pool, &why) == APR_SUCCESS, "%s",
                urls[i].url)) {
            printf("# %s\n", why);
            continue;
        }
        is(u->unix_path, urls[i].unix_path, "path");
        is(u->host, urls[i].host, "host");
        is(u->user, urls[i].user, "user");
        is(u->password, urls[i].password, "password");
        ok((urls[i].unix_path || u->port == urls[i].port) && u->db == urls[i].db && !u->tls,
           "port and database");
        ok(!urls[i].password ||
               (!strstr(u->shown, "pw") && !strstr(u->shown, "a@b") && !strstr(u->shown, "p:w")),
           "%s is shown without them", u->shown);
    }
    for (i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
        relay_redis_url *u = NULL;
        const char *why = "";

        ok(relay_redis_url_parse(&u, bad_urls[i], pool, &why) == RELAY_EINPUT && !u && *why &&
               !strstr(why, "pw"),
           "no Redis URL: %s", bad_urls[i]);
    }
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_urls();
    apr_terminate();
    return done_testing();
}
