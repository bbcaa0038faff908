/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fuzz.h"

const fuzz_target fuzz_targets[] = {
    {"host", fuzz_host, 400},
    {"service", fuzz_service, 400},
    {"duration", fuzz_duration, 100},
    {"listen", fuzz_listen, 600},
    {"address", fuzz_address, 60},
    {"redis-url", fuzz_redis_url, 300},
    {"text", fuzz_text, 300},
    {"conf", fuzz_conf, 4096},
    {"key", fuzz_key, 4096},
    {"login", fuzz_login, 1024},
    {"route", fuzz_route, 4096},
    {"grant", fuzz_grant, 4096},
    {"tunnel", fuzz_tunnel, 4096},
    {"connect", fuzz_connect, 1024},
    {"sentinel", fuzz_sentinel, 1024},
    {"changes", fuzz_changes, 4096},
    {"rewrite", fuzz_rewrite, 4096},
    {"message", fuzz_message, 3000},
    {"frames", fuzz_frames, 3000},
    {"answers", fuzz_answers, 4096},
    {"live", fuzz_live, 600},
    {"cookies", fuzz_cookies, 2000},
    {"forgive", fuzz_forgive, 2000},
    {"addresses", fuzz_addresses, 2000},
    {"api-query", fuzz_api_query, 2100},
    {"api-body", fuzz_api_body, 2000},
    {"token", fuzz_token, 200},
    {"code", fuzz_code, 100},
    {"fleet", fuzz_fleet, 4096},
    {"rly-answer", fuzz_rly_answer, 3000},
    {"rly-place", fuzz_rly_place, 1000},
    {NULL, NULL, 0},
};

const fuzz_target *fuzz_target_find(const char *name)
{
    const fuzz_target *t;

    for (t = fuzz_targets; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

static apr_pool_t *root(void)
{
    static apr_pool_t *pool;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    return pool;
}

const relay_config *fuzz_config(void)
{
    static relay_config *cfg;
    const char *why = "?";

    if (cfg)
        return cfg;
    cfg = apr_pcalloc(root(), sizeof(*cfg));
    cfg->file = "relay.conf";
    cfg->name = "relay1";
    cfg->domain = "relay.example.com";
    cfg->user = "relay";
    cfg->prefix = "relay:";
    cfg->redis_timeout = apr_time_from_sec(1);
    cfg->ttl_max = apr_time_from_sec(30 * 86400);
    MUST(relay_listen_space_parse(&cfg->listen, "127.64.0.0/10:10000-59999, 127.0.0.1:20000-29999",
                                  root(), &why) == APR_SUCCESS);
    MUST(relay_redis_url_parse(&cfg->redis, "unix:///fuzz", root(), &why) == APR_SUCCESS);
    return cfg;
}

int fuzz_run(const fuzz_target *t, const void *data, size_t size)
{
    static apr_pool_t *p;
    char *text;
    int taken;

    if (size > t->max)
        return 0;
    if (!p)
        apr_pool_create(&p, root());
    /* Its own allocation, so that a sanitizer sees one byte too many. */
    text = malloc(size + 1);
    MUST(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    taken = t->run(text, size, p);
    apr_pool_clear(p);
    free(text);
    return taken;
}
