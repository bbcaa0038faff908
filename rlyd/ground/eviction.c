/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "eviction.h"
#include "loop.h"
#include "store.h"
#include "relay_redis_policy.h"
#include "reply.h"

#include <string.h>

static void on_info(rlyd *d, redisReply *r, uint64_t id)
{
    static char warned[48]; /* the policy that was warned of last; "": none */
    static int64_t gate;
    const char *text = reply_text(r), *policy;
    apr_pool_t *p;

    if (!r)
        return;
    if (!text) {
        redis_odd(store_link(d), &gate, "INFO");
        return;
    }
    apr_pool_create(&p, d->pool);
    policy = relay_redis_evicts_by(text, p);
    if (policy && strcmp(policy, warned) != 0)
        relay_log(RELAY_LOG_WARNING,
                  "RLY457 Redis at %s has a maxmemory and throws records away when it is full "
                  "(maxmemory-policy %s): tunnels would end, and names be unknown, before their "
                  "time; set maxmemory-policy noeviction",
                  d->cfg->redis->shown, policy);
    else if (!policy && warned[0])
        relay_log(RELAY_LOG_NOTICE, "RLY457 Redis at %s throws no records away any more",
                  d->cfg->redis->shown);
    apr_cpystrn(warned, policy ? policy : "", sizeof(warned));
    apr_pool_destroy(p);
}

void eviction_check(rlyd *d)
{
    redis_call(store_link(d), on_info, 0, "INFO", "memory");
}
