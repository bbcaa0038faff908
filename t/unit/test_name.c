/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_name: which labels are names, and what a Host header says. */
#include "relay_name.h"
#include "tap.h"

#include <apr_general.h>

#define DOMAIN "relay.example.com"
#define X10 "aaaaaaaaaa"
#define X60 X10 X10 X10 X10 X10 X10

static apr_pool_t *pool;

static const struct {
    const char *label;
    const char *fault; /* part of what is said, or NULL */
} labels[] = {
    {"a", NULL},
    {"0", NULL},
    {"abc-def", NULL},
    {"a--b", NULL},
    {"ab-c", NULL},
    {"abc--d", NULL},
    {"2-3", NULL},
    {"123", NULL},
    {X60 "aaa", NULL},
    {"mfrggzdfmztwq2lkmfrggzdf", NULL},
    {"a-b--c", NULL},
    {"", "empty"},
    {X60 "aaaa", "at most 63"},
    {"A", "only the letters"},
    {"aB", "only the letters"},
    {"a_b", "only the letters"},
    {"a.b", "only the letters"},
    {"a b", "only the letters"},
    {" a", "only the letters"},
    {"a\n", "only the letters"},
    {"\xc3\xa4", "only the letters"},
    {"a/b", "only the letters"},
    {"a%2d", "only the letters"},
    {"-a", "begin or end"},
    {"a-", "begin or end"},
    {"-", "begin or end"},
    {"--", "begin or end"},
    {"*", "only the letters"},
    {"xn--a", "reserved"},
    {"xn--bcher-kva", "reserved"},
    {"ab--c", "reserved"},
    {"ab--", "begin or end"},
    {"00--1", "reserved"},
};

static void test_check(void)
{
    unsigned i;

    for (i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        const char *why = NULL;
        apr_status_t rv = relay_name_check(labels[i].label, strlen(labels[i].label), pool, &why);

        ok(rv == (labels[i].fault ? RELAY_EINPUT : APR_SUCCESS), "label %u, %.20s: %s", i,
           labels[i].label[0] < ' ' ? "…" : labels[i].label, labels[i].fault ? "refused" : "good");
        if (!ok(labels[i].fault ? why && strstr(why, labels[i].fault) : !why,
                "and the error says: %s", labels[i].fault ? labels[i].fault : "nothing"))
            printf("# said: %s\n", why);
        ok(relay_name_check(labels[i].label, strlen(labels[i].label), NULL, NULL) == rv,
           "the same without why");
    }
    ok(relay_name_check("ab\0cd", 5, NULL, NULL) == RELAY_EINPUT, "a NUL byte inside");
    ok(relay_name_check("abcd-", 4, NULL, NULL) == APR_SUCCESS, "no more than len is read");
    ok(relay_name_is_reserved("ssh") && relay_name_is_reserved("www") &&
           relay_name_is_reserved("api"),
       "ssh, www and api are reserved");
    ok(!relay_name_is_reserved("sshd") && !relay_name_is_reserved("ww") &&
           !relay_name_is_reserved(""),
       "others are not");
}

static void test_random(void)
{
    char seen[100][RELAY_NAME_RANDOM_LEN + 1];
    int i, j, good = 1, different = 1, letters[256] = {0}, n = 0;

    for (i = 0; i < 100; i++) {
        memset(seen[i], 'X', sizeof(seen[i]));
        good = good && relay_name_random(seen[i]) == APR_SUCCESS &&
               strlen(seen[i]) == RELAY_NAME_RANDOM_LEN &&
               relay_name_check(seen[i], RELAY_NAME_RANDOM_LEN, NULL, NULL) == APR_SUCCESS;
        for (j = 0; j < RELAY_NAME_RANDOM_LEN; j++)
            n += letters[(unsigned char)seen[i][j]]++ == 0;
        for (j = 0; j < i; j++)
            different = different && strcmp(seen[i], seen[j]);
    }
    ok(good, "100 random names are names of %d characters", RELAY_NAME_RANDOM_LEN);
    ok(different, "no two are the same");
    ok(n == 32, "each of the 32 characters occurs, and no other");
}

static const struct {
    const char *host;
    relay_host_kind kind;
    const char *name;
} hosts[] = {
    {"abc." DOMAIN, RELAY_HOST_NAME, "abc"},
    {"ABC.Relay.Example.COM", RELAY_HOST_NAME, "abc"},
    {"abc." DOMAIN ".", RELAY_HOST_NAME, "abc"},
    {"abc." DOMAIN ":443", RELAY_HOST_NAME, "abc"},
    {"abc." DOMAIN ".:443", RELAY_HOST_NAME, "abc"},
    {"abc." DOMAIN ":", RELAY_HOST_NAME, "abc"},
    {"abc." DOMAIN ":99999999999", RELAY_HOST_NAME, "abc"},
    {"ssh." DOMAIN, RELAY_HOST_NAME, "ssh"},
    {"0." DOMAIN, RELAY_HOST_NAME, "0"},
    {X60 "aaa." DOMAIN, RELAY_HOST_NAME, X60 "aaa"},
    {DOMAIN, RELAY_HOST_OTHER, NULL},
    {DOMAIN ".", RELAY_HOST_OTHER, NULL},
    {DOMAIN ":443", RELAY_HOST_OTHER, NULL},
    {"", RELAY_HOST_OTHER, NULL},
    {".", RELAY_HOST_OTHER, NULL},
    {":", RELAY_HOST_OTHER, NULL},
    {":443", RELAY_HOST_OTHER, NULL},
    {"443", RELAY_HOST_OTHER, NULL},
    {"abc", RELAY_HOST_OTHER, NULL},
    {"abc.example.com", RELAY_HOST_OTHER, NULL},
    {"abcrelay.example.com", RELAY_HOST_OTHER, NULL},
    {"abc.xrelay.example.com", RELAY_HOST_OTHER, NULL},
    {"abc." DOMAIN ".org", RELAY_HOST_OTHER, NULL},
    {"127.0.0.1", RELAY_HOST_OTHER, NULL},
    {"[::1]:443", RELAY_HOST_OTHER, NULL},
    {"[2001:db8::1]", RELAY_HOST_OTHER, NULL},
    {"abc." DOMAIN ":x", RELAY_HOST_OTHER, NULL},
    {"abc." DOMAIN "..", RELAY_HOST_OTHER, NULL},
    {"abc." DOMAIN "/", RELAY_HOST_OTHER, NULL},
    {"abc.relay\\example.com", RELAY_HOST_OTHER, NULL},
    {"a.b." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"abc.." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"-abc." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"abc-." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"a_b." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"xn--bcher-kva." DOMAIN, RELAY_HOST_INVALID, NULL},
    {X60 "aaaa." DOMAIN, RELAY_HOST_INVALID, NULL},
    {X60 X60 X60 X60 X60 "." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"user@abc." DOMAIN, RELAY_HOST_INVALID, NULL},
    {" abc." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"\xff\xfe." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"abc:80." DOMAIN, RELAY_HOST_INVALID, NULL},
    {"abc," DOMAIN "." DOMAIN, RELAY_HOST_INVALID, NULL},
    {DOMAIN "." DOMAIN, RELAY_HOST_INVALID, NULL},
};

static void test_hosts(void)
{
    char name[RELAY_NAME_MAX + 1], *huge;
    unsigned i;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        apr_size_t len = strlen(hosts[i].host);
        /* Exactly its bytes: a read beyond them is one that a sanitizer sees. */
        char *host = apr_pmemdup(pool, hosts[i].host, len ? len : 1);

        memset(name, '#', sizeof(name));
        ok(relay_name_from_host(name, host, len, DOMAIN) == hosts[i].kind, "host %u, %.30s", i,
           hosts[i].host[0] & 0x80 ? "…" : hosts[i].host);
        if (hosts[i].name)
            is(name, hosts[i].name, "and its name");
    }
    ok(relay_name_from_host(name, "a\0c." DOMAIN, sizeof("a\0c." DOMAIN) - 1, DOMAIN) ==
           RELAY_HOST_INVALID,
       "a NUL byte in the label");
    ok(relay_name_from_host(name, "abc." DOMAIN "\0", sizeof("abc." DOMAIN), DOMAIN) ==
           RELAY_HOST_OTHER,
       "a NUL byte at the end");
    ok(relay_name_from_host(name, "abc." DOMAIN "xyz", strlen("abc." DOMAIN), DOMAIN) ==
           RELAY_HOST_NAME,
       "no more than len is read");
    huge = memset(apr_palloc(pool, 1000000), 'a', 1000000);
    ok(relay_name_from_host(name, huge, 1000000, DOMAIN) == RELAY_HOST_OTHER,
       "a million bytes of another domain");
    memcpy(huge + 1000000 - strlen("." DOMAIN), "." DOMAIN, strlen("." DOMAIN));
    ok(relay_name_from_host(name, huge, 1000000, DOMAIN) == RELAY_HOST_INVALID,
       "a million bytes of ours");
    ok(relay_name_from_host(name, "abc.x", 5, "x") == RELAY_HOST_NAME && strcmp(name, "abc") == 0,
       "a domain of one label");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_check();
    test_random();
    test_hosts();
    apr_terminate();
    return done_testing();
}
