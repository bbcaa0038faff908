/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "check.h"
#include "relay_redis_policy.h"

#include <http_core.h>
#include <signal.h>

/* The longest wait for each answer of Redis, six at most; [redis] timeout where that is less. */
#define REDIS_PATIENCE apr_time_from_msec(500)

/* A name is not below itself. */
static int lies_below(const char *name, const char *domain)
{
    apr_size_t length = strlen(name), tail = strlen(domain);

    return length > tail + 1 && name[length - tail - 1] == '.' &&
           ap_cstr_casecmp(name + length - tail, domain) == 0;
}

static int any_below(const apr_array_header_t *names, const char *domain, const char *probe)
{
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (lies_below(name, domain) || !ap_strcasecmp_match(probe, name))
            return 1;
    }
    return 0;
}

static int serves_names(const server_rec *s, const char *domain, apr_pool_t *p)
{
    const char *probe = apr_pstrcat(p, "a.", domain, NULL); /* a wildcard has to match this */

    return (s->server_hostname && lies_below(s->server_hostname, domain)) ||
           any_below(s->names, domain, probe) || any_below(s->wild_names, domain, probe);
}

static void check_names(const mod_relay_realm *realm, server_rec *main_server, apr_pool_t *p)
{
    const char *domain = realm->relay->domain;
    const server_rec *s, *first = NULL;

    for (s = main_server; s; s = s->next) {
        const mod_relay_server *conf = mod_relay_server_of(s);

        if (conf->engine != 1 || conf->realm != realm)
            continue;
        if (serves_names(s, domain, p))
            return;
        if (!first)
            first = s;
    }
    if (first)
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_WARNING, 0, first,
                     "RLY116 no virtual host with RelayEngine on (%s:%u) has a name below `%s', "
                     "the domain in %s: requests for NAME.%s may go to another one. It needs "
                     "`ServerAlias *.%s'.",
                     first->defn_name ? first->defn_name : "the main server",
                     first->defn_line_number, domain, realm->relay->file, domain, domain);
}

/* hiredis writes without MSG_NOSIGNAL, and this process does not ignore SIGPIPE yet. */
static redisContext *connect_quietly(const relay_config *relay, struct sigaction *before,
                                     apr_pool_t *p)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    redisContext *c = NULL;
    const char *why;

    sigaction(SIGPIPE, &ignore, before);
    if (relay_redis_connect(&c, relay->redis,
                            relay->redis_timeout < REDIS_PATIENCE ? relay->redis_timeout
                                                                  : REDIS_PATIENCE,
                            p, &why) != APR_SUCCESS)
        return NULL; /* a Redis that is away is no fault of the configuration */
    return c;
}

static void check_policy(const mod_relay_realm *realm, apr_pool_t *p)
{
    struct sigaction before;
    redisContext *c = connect_quietly(realm->relay, &before, p);
    const char *policy = c ? relay_redis_evicts(c, p) : NULL;

    if (c)
        redisFree(c);
    sigaction(SIGPIPE, &before, NULL);
    if (policy)
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_WARNING, 0, realm->server,
                     "RLY115 Redis at %s, of %s, has a maxmemory and the maxmemory-policy %s: when "
                     "it is full it forgets tunnels that are open, without a word. Set "
                     "`maxmemory-policy noeviction'.",
                     realm->relay->redis->shown, realm->relay->file, policy);
}

void mod_relay_check_realm(const mod_relay_realm *realm, server_rec *main_server, apr_pool_t *p)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG)
        return;
    check_names(realm, main_server, p);
    check_policy(realm, p);
}
