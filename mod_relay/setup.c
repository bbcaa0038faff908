/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * From the configuration to a child that serves: check_config completes the servers' settings and
 * makes the realms, child_init brings them to life. What the watcher of a realm hears is told to
 * the realm's other parts here.
 */

#include "check.h"
#include "hooks.h"
#include "realm.h"
#include "relay_pool.h"
#include "request/backend.h"
#include "request/limits.h"
#include "request/owner.h"
#include "request/proxy.h"
#include "request/secrets.h"
#include "request/tls.h"
#include "routes/cache.h"
#include "routes/lookup.h"
#include "routes/watch.h"
#include "ssh/servers.h"

/* ---- made from the configuration */

static mod_relay_realm *realm_for(const char *file, server_rec *s, apr_pool_t *p)
{
    mod_relay_realm *realm = mod_relay_realm_find(file);
    relay_config *relay;
    const char *why = NULL;

    if (realm)
        return realm;
    if (relay_config_load(&relay, file, "web", p, &why) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "RLY103 RelayConfig: %s", why);
        return NULL;
    }
    realm = apr_pcalloc(p, sizeof(*realm));
    realm->relay = relay;
    realm->server = s;
    if (!mod_relay_owner_prepare(realm, s))
        return NULL;
    mod_relay_realm_add(realm);
    return realm;
}

/* `configtest` runs check_config, after the directives themselves, and no later hook. */
static int check_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    const char *missing = mod_relay_proxy_missing();
    server_rec *s;
    int i;

    mod_relay_realms_reset(p);
    for (s = main_server; s; s = s->next) {
        mod_relay_server *conf = mod_relay_server_of(s);
        const char *file = conf->conf_file ? conf->conf_file : relay_config_default_path();

        if (conf->engine != 1 && conf->ssh != 1)
            continue;
        if (missing) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "RLY105 mod_relay: %s",
                         missing);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        if ((conf->realm = realm_for(file, s, p)) == NULL)
            return HTTP_INTERNAL_SERVER_ERROR;
        if (!mod_relay_server_complete(conf, conf->realm->relay->cooldown, conf->realm->relay->file,
                                       s, p))
            return HTTP_INTERNAL_SERVER_ERROR;
        conf->hidden_cookies = mod_relay_hidden_cookies(conf->hide_cookies, p);
        if (!mod_relay_tls_prepare(conf, s, p, ptemp))
            return HTTP_INTERNAL_SERVER_ERROR;
    }
    for (i = 0; i < mod_relay_realms()->nelts; i++)
        mod_relay_check_realm(APR_ARRAY_IDX(mod_relay_realms(), i, mod_relay_realm *), main_server,
                              ptemp);
    mod_relay_ssh_servers_note(main_server, p);
    mod_relay_limits_raise(main_server);
    return OK;
}

/* ---- alive, in a child */

static apr_status_t stop_watchers(void *data)
{
    const apr_array_header_t *realms = mod_relay_realms();
    int i;

    for (i = 0; i < realms->nelts; i++) {
        mod_relay_realm *realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);

        if (realm->watch)
            mod_relay_watch_stop(realm->watch);
    }
    return APR_SUCCESS;
}

/* ---- what the watcher tells; its thread */

static void on_change(void *baton, const char *name)
{
    mod_relay_realm *realm = baton;

    mod_relay_backends_doubt(realm->backends, name);
}

static void on_answers(void *baton)
{
    mod_relay_realm *realm = baton;

    mod_relay_lookups_resume(realm->lookups);
}

static void on_follows(void *baton, const relay_redis_url *at)
{
    mod_relay_realm *realm = baton;

    mod_relay_lookups_follow(realm->lookups, at);
}

static void on_tick(void *baton)
{
    mod_relay_realm *realm = baton;

    mod_relay_backends_sweep(realm->backends);
    mod_relay_lookups_sweep(realm->lookups);
}

static apr_status_t start_watcher(mod_relay_realm *realm)
{
    mod_relay_watch_calls calls = {on_change, on_answers, on_follows, on_tick, realm};

    return mod_relay_watch_start(&realm->watch, realm->relay, realm->cache, &calls, realm->server,
                                 realm->pool);
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *realms = mod_relay_realms();
    int i;

    if (!realms->nelts)
        return;
    /*
     * The realms' pools are children of pconf, p's parent, because they must outlive all requests.
     * A request's pool can be a child of p, and pools that were made later go before it (prefork's
     * ptrans, when a child is ended in a request). The watchers end before any pool goes.
     */
    apr_pool_pre_cleanup_register(p, NULL, stop_watchers);
    for (i = 0; i < realms->nelts; i++) {
        mod_relay_realm *realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);
        apr_status_t rv;

        /* For all that request threads make and that outlives requests. The allocator of the
         * child's own pool need not have a mutex. */
        if ((realm->pool = relay_pool_locked(apr_pool_parent_get(p), "mod_relay")) == NULL) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "RLY101 no memory for the routes of %s",
                         realm->relay->file);
            continue;
        }
        mod_relay_cache_create(&realm->cache, realm->pool);
        mod_relay_lookups_create(&realm->lookups, realm->relay, realm->cache, realm->server,
                                 realm->pool);
        mod_relay_backends_create(&realm->backends, realm->pool);
        if ((rv = start_watcher(realm)) != APR_SUCCESS)
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                         "RLY102 cannot start the thread that watches Redis");
    }
}

void mod_relay_setup_register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}
