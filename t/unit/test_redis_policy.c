/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "tap.h"
#include "relay_redis_policy.h"

#include <apr_general.h>
#include <stdlib.h>

static const struct {
    const char *info, *policy;
} cases[] = {
    {"# "
     "Memory\r\nused_memory:1\r\nmaxmemory:1000\r\nmaxmemory_human:1000B\r\nmaxmemory_policy:"
     "allkeys-lru\r\nx:y\r\n",
     "allkeys-lru"},
    {"maxmemory:18446744073709551615\r\nmaxmemory_policy:volatile-lru\r\n", "volatile-lru"},
    {"maxmemory:10\r\nmaxmemory_policy:noevictions\r\n", "noevictions"},
    {"maxmemory:10\r\nmaxmemory_policy:no\r\n", "no"},
    {"# "
     "Memory\r\nused_memory:1\r\nmaxmemory:1048576\r\nmaxmemory_human:1M\r\nmaxmemory_policy:"
     "allkeys-lru\r\n",
     "allkeys-lru"},
    {"maxmemory:1\r\nmaxmemory_policy:volatile-ttl\r\n", "volatile-ttl"},
    {"maxmemory:1\r\nmaxmemory_policy:allkeys-lfu\r\n", "allkeys-lfu"},
    {"maxmemory:1\r\nmaxmemory_policy:allkeys-random\r\n", "allkeys-random"},
    {"maxmemory:1\r\nmaxmemory_policy:volatile-lfu\r\n", "volatile-lfu"},
    {"maxmemory:0\r\nmaxmemory_policy:noeviction\r\n", NULL},
    {"maxmemory:1\nmaxmemory_policy:allkeys-lrm", "allkeys-lrm"},
    {"maxmemory_policy:volatile-random\r\nmaxmemory:10\r\n", "volatile-random"},
    {"maxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n", NULL},
    {"maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n",
     NULL}, /* no maxmemory: nothing is evicted */
    {"maxmemory:00\r\nmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory:\r\nmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory:1\r\nmaxmemory_policy:\r\n", NULL},
    {"maxmemory:1\r\nmaxmemory_policy:a b\r\n", NULL},
    {"maxmemory:1\r\nmaxmemory_policy:x\x1b[31m\r\n", NULL},
    {"maxmemory:1\r\n", NULL},
    {"maxmemory_policy:allkeys-lru\r\n", NULL},
    {"xmaxmemory:1\r\nxmaxmemory_policy:allkeys-lru\r\n", NULL},
    {"maxmemory", NULL},
    {"\n\n\n", NULL},
    {"", NULL},
};

int main(void)
{
    apr_pool_t *p;
    unsigned i;

    apr_initialize();
    atexit(apr_terminate);
    apr_pool_create(&p, NULL);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        is(relay_redis_evicts_by(cases[i].info, p), cases[i].policy, "INFO memory, case %u", i);
    return done_testing();
}
