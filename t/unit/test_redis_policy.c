/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_redis_policy: which Redis throws records away, by what it says of its memory. */
#include "relay_redis_policy.h"
#include "tap.h"

#include <apr_general.h>

static const struct {
    const char *info, *policy;
} table[] = {
    {"# Memory\r\nused_memory:1\r\nmaxmemory:1000\r\nmaxmemory_human:1000B\r\nmaxmemory_policy:allkeys-lru\r\nx:y\r\n", "allkeys-lru"},
    {"maxmemory:1000\nmaxmemory_policy:volatile-ttl", "volatile-ttl"},
    {"maxmemory:18446744073709551615\r\nmaxmemory_policy:volatile-lru\r\n", "volatile-lru"},
    {"maxmemory:10\r\nmaxmemory_policy:noevictions\r\n", "noevictions"},
    {"maxmemory:10\r\nmaxmemory_policy:no\r\n", "no"},
    {"maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n", NULL},
    {"maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory:1000\r\n", NULL},
    {"maxmemory:\r\nmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory:1000\r\nmaxmemory_policy:\r\n", NULL},
    {"maxmemory:1000\r\nmaxmemory_policy:a\x1b[2Jb\r\n", NULL},
    {"maxmemory:1000\r\nmaxmemory_policy:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", NULL},
    {"xmaxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"", NULL}, {"\n", NULL}, {"maxmemory", NULL}, {"maxmemory:5", NULL},
};

int main(void)
{
    apr_pool_t *pool;
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(table) / sizeof(*table); i++)
        is(relay_redis_policy_evicts(table[i].info, pool), table[i].policy, "INFO number %u: %s", i,
           table[i].policy ? "it evicts" : "it does not");
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
