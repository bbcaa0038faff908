/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_redis_url_parse: [redis] url in every form, and a password in none of what is shown; what
 * ROLE answers. */
#include "relay_config.h"
#include "relay_redis.h"
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
    "sentinel://10.0.0.1",
    "sentinel://10.0.0.1/",
    "sentinel:///relay",
    "sentinel://,10.0.0.1/relay",
    "sentinel://10.0.0.1,/relay",
    "sentinel://10.0.0.1:0/relay",
    "sentinel://core1/relay",
    "sentinel://10.0.0.1,core1:26379/relay",
    "sentinel://10.0.0.1/re lay",
    "sentinel://10.0.0.1/relay/x",
    "sentinel://pw@10.0.0.1/relay",
    "sentinel://[fe80::1/relay",
    "sentinel://1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9,1.1.1.10/a",
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

static void test_sentinels(void)
{
    relay_redis_url *u = NULL, *at;
    const char *why = "";

    ok(relay_redis_url_parse(&u,
                             "sentinel://me:pw@10.0.0.1,[2001:db8::1]:7,10.0.0.3:26380/re-lay/4",
                             pool, &why) == APR_SUCCESS,
       "sentinels");
    is(u->primary, "re-lay", "the primary's name");
    ok(u->nsentinels == 3 && !u->host && !u->unix_path && !u->named && u->db == 4, "three of them");
    is(u->sentinels[0].host, "10.0.0.1", "the first");
    is(u->sentinels[1].host, "2001:db8::1", "the second");
    is(u->sentinels[2].host, "10.0.0.3", "the third");
    ok(u->sentinels[0].port == 26379 && u->sentinels[1].port == 7 && u->sentinels[2].port == 26380,
       "their ports");
    is(u->shown, "sentinel://10.0.0.1,[2001:db8::1]:7,10.0.0.3:26380/re-lay",
       "it is shown without login");
    at = relay_redis_url_at(u, "10.0.0.9", 6380, pool);
    is(at->host, "10.0.0.9", "where the primary is: host");
    is(at->user, "me", "user");
    is(at->password, "pw", "password");
    is(at->shown, "redis://10.0.0.9:6380", "shown");
    ok(at->port == 6380 && at->db == 4 && at->named && !at->primary, "the rest");
}

/* ---- the answer to ROLE */

static redisReply *string(const char *text)
{
    redisReply *r = apr_pcalloc(pool, sizeof(*r));

    r->type = REDIS_REPLY_STRING;
    r->str = apr_pstrdup(pool, text);
    return r;
}

static redisReply *array(const char *const *words)
{
    redisReply *r = apr_pcalloc(pool, sizeof(*r));

    r->type = REDIS_REPLY_ARRAY;
    r->element = apr_pcalloc(pool, 8 * sizeof(*r->element));
    for (; words[r->elements]; r->elements++)
        r->element[r->elements] = string(words[r->elements]);
    return r;
}

static void test_roles(void)
{
    static const struct {
        const char *words[6];
        relay_redis_role role;
    } roles[] = {
        {{"master", "1", "-"}, RELAY_ROLE_PRIMARY},
        {{"slave", "h", "1", "connected", "9"}, RELAY_ROLE_REPLICA},
        {{"slave", "h", "1", "connect", "-1"}, RELAY_ROLE_BEHIND},
        {{"slave", "h", "1", "connecting", "-1"}, RELAY_ROLE_BEHIND},
        {{"slave", "h", "1", "handshake", "-1"}, RELAY_ROLE_BEHIND},
        {{"slave", "h", "1", "sync", "-1"}, RELAY_ROLE_BEHIND},
        {{"slave", "h", "1"}, RELAY_ROLE_NONE},
        {{"sentinel", "a", "b"}, RELAY_ROLE_NONE},
        {{"master"}, RELAY_ROLE_NONE},
        {{NULL}, RELAY_ROLE_NONE},
    };
    unsigned i;

    for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        ok(relay_redis_role_read(array(roles[i].words)) == roles[i].role, "ROLE %s %s",
           roles[i].words[0] ? roles[i].words[0] : "(nothing)",
           roles[i].words[0] && roles[i].words[1] && roles[i].words[2] && roles[i].words[3]
               ? roles[i].words[3]
               : "");
    ok(relay_redis_role_read(NULL) == RELAY_ROLE_NONE, "no answer");
    ok(relay_redis_role_read(string("master")) == RELAY_ROLE_NONE, "a word alone");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_urls();
    test_sentinels();
    test_roles();
    apr_terminate();
    return done_testing();
}
