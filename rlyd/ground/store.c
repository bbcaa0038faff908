/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "store.h"
#include "loop.h"
#include "reply.h"

struct store {
    redis_link *link;
    rlyd_hook *const *ready;
    int64_t offset_ms; /* Redis's clock minus ours */
    int offset_known;
};

redis_link *store_link(rlyd *d)
{
    return d->store->link;
}

int store_knows_time(const rlyd *d)
{
    return d->store->offset_known;
}

int64_t store_redis_ms(const rlyd *d, int64_t at_ms)
{
    return d->store->offset_known ? at_ms + d->store->offset_ms : 0;
}

int64_t store_local_ms(const rlyd *d, int64_t at_redis_ms)
{
    return at_redis_ms - d->store->offset_ms;
}

static void on_time(rlyd *d, redisReply *r, uint64_t id)
{
    static int64_t gate;
    int64_t ms;

    if (!r)
        return;
    if (reply_time(r, &ms) < 0) {
        redis_odd(d->store->link, &gate, "TIME");
        return;
    }
    d->store->offset_ms = ms - now_ms();
    d->store->offset_known = 1;
}

void store_ask_time(rlyd *d)
{
    redis_call(d->store->link, on_time, 0, "TIME");
}

static void on_ready(rlyd *d)
{
    store_ask_time(d);
    rlyd_tell(d, d->store->ready);
}

void store_init(rlyd *d, rlyd_hook *const ready[RLYD_HOOKS_MAX])
{
    d->store = apr_pcalloc(d->pool, sizeof(*d->store));
    d->store->ready = ready;
    d->store->link = redis_link_open(d, "commands", 1, on_ready);
}

void store_reload(rlyd *d)
{
    redis_link_restart(d->store->link);
}
