/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The module's record, and from the configuration to a child that serves. */

#include "api.h"
#include "followers.h"
#include "relay_log.h"
#include "relay_pool.h"

#include <ap_mpm.h>
#include <apr_strings.h>

static apr_array_header_t *realms; /* api_realm *, of the running configuration */

/* ---- made from the configuration */

static void log_sink(void *baton, relay_log_level level, const char *line)
{
    static const int levels[] = {APLOG_ERR, APLOG_WARNING, APLOG_NOTICE, APLOG_INFO, APLOG_DEBUG};

    ap_log_error(APLOG_MARK, levels[level], 0, (server_rec *)baton, "%s", line);
}

static api_realm *realm_for(const char *file, server_rec *s, apr_pool_t *p)
{
    relay_config *relay;
    api_realm *realm;
    const char *why = NULL;

    for (int i = 0; i < realms->nelts; i++) {
        realm = APR_ARRAY_IDX(realms, i, api_realm *);
        if (strcmp(realm->relay->file, file) == 0)
            return realm;
    }
    if (relay_config_load(&relay, file, "api", p, &why) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "RLY701 RelayAPIConfig: %s", why);
        return NULL;
    }
    realm = apr_pcalloc(p, sizeof(*realm));
    realm->relay = relay;
    APR_ARRAY_PUSH(realms, api_realm *) = realm;
    return realm;
}

/* `configtest` runs check_config, after the directives themselves, and no later hook. */
static int check_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    relay_log_install(log_sink, main_server);
    realms = apr_array_make(p, 1, sizeof(api_realm *));
    for (server_rec *s = main_server; s; s = s->next) {
        api_conf *conf = api_server_of(s);

        if (!conf->wanted)
            continue;
        conf->realm =
            realm_for(conf->conf_file ? conf->conf_file : relay_config_default_path(), s, p);
        if (!conf->realm)
            return HTTP_INTERNAL_SERVER_ERROR;
        api_conf_complete(conf);
    }
    return OK;
}

/* ---- alive, in a child */

static void child_init(apr_pool_t *p, server_rec *s)
{
    /* A child of pconf, p's parent, as mod_relay's are: it outlives all requests. */
    apr_pool_t *pool =
        realms->nelts ? relay_pool_locked(apr_pool_parent_get(p), "mod_relay_api") : NULL;
    int threads = 0;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    for (int i = 0; pool && i < realms->nelts; i++) {
        api_realm *realm = APR_ARRAY_IDX(realms, i, api_realm *);

        if (api_followers_create(&realm->followers, threads, pool) == APR_SUCCESS)
            relay_stores_create(&realm->stores, realm->relay, pool);
        else
            pool = NULL;
    }
    if (realms->nelts && !pool)
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "RLY702 no memory for the connections to Redis: this process serves no API");
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(api_serve, NULL, NULL, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA relay_api_module = {
    STANDARD20_MODULE_STUFF, api_place_create, api_conf_merge, api_server_create,
    api_conf_merge,          api_directives,   register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE
#endif
};
