/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The module itself: its record, the coming to life of a child, and librelay's log sink. */

#include "mod_relay.h"
#include "relay_log.h"

#include <apr_allocator.h>
#include <time.h>

apr_time_t mod_relay_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return apr_time_from_sec(ts.tv_sec) + ts.tv_nsec / 1000;
}

static void log_sink(void *baton, relay_log_level level, const char *line)
{
    static const int levels[] = {APLOG_ERR, APLOG_WARNING, APLOG_NOTICE, APLOG_INFO, APLOG_DEBUG};

    ap_log_error(APLOG_MARK, levels[level], 0, (server_rec *)baton, "%s", line);
}

static apr_status_t stop_realms(void *data)
{
    apr_array_header_t *realms = data;
    int i;

    for (i = 0; i < realms->nelts; i++)
        if (APR_ARRAY_IDX(realms, i, mod_relay_realm *)->watch)
            mod_relay_watch_stop(APR_ARRAY_IDX(realms, i, mod_relay_realm *)->watch);
    return APR_SUCCESS;
}

/*
 * A root pool for all that request threads make and that outlives requests: its allocator has a
 * mutex, which that of the child's own pool need not have.
 */
static apr_pool_t *make_locked_pool(apr_pool_t *p)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_ex(&pool, p, NULL, allocator) != APR_SUCCESS)
        return NULL;
    apr_allocator_owner_set(allocator, pool);
    apr_allocator_max_free_set(allocator, 1 << 20);
    if (apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS)
        return NULL;
    apr_allocator_mutex_set(allocator, mutex);
    apr_pool_tag(pool, "mod_relay");
    return pool;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    apr_array_header_t *realms = mod_relay_realms();
    int i;

    if (!realms->nelts)
        return;
    /*
     * The realms' pools are pconf's, p's parent: they must outlive all requests. Requests' pools
     * can be p's own, and are then destroyed after those that were made later (prefork's ptrans,
     * when a child is ended in a request). The watchers end before any pool goes.
     */
    apr_pool_pre_cleanup_register(p, realms, stop_realms);
    for (i = 0; i < realms->nelts; i++) {
        mod_relay_realm *realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);
        apr_status_t rv;

        if ((realm->pool = make_locked_pool(apr_pool_parent_get(p))) == NULL) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "RLY101 no memory for the routes of %s",
                         realm->relay->file);
            continue;
        }
        mod_relay_cache_create(&realm->cache, realm->pool);
        mod_relay_lookups_create(&realm->lookups, realm, realm->pool);
        mod_relay_backends_create(&realm->backends, realm, realm->pool);
        if ((rv = mod_relay_watch_start(realm, realm->pool)) != APR_SUCCESS)
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                         "RLY102 cannot start the thread that watches Redis");
    }
}

/* Ahead of the reading of relay.conf, which may have something to say. */
static int install_sink(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    relay_log_install(log_sink, s);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(install_sink, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    mod_relay_directives_register_hooks(p);
    mod_relay_route_register_hooks(p);
    mod_relay_backend_register_hooks(p);
    mod_relay_owner_register_hooks(p);
    mod_relay_attempt_register_hooks(p);
    mod_relay_answer_register_hooks(p);
    mod_relay_paths_register_hooks(p);
    mod_relay_head_register_hooks(p);
    mod_relay_head_h2_register_hooks(p);
    mod_relay_memory_register_hooks(p);
    mod_relay_pages_register_hooks(p);
    mod_relay_shares_register_hooks(p);
    mod_relay_waiting_register_hooks(p);
    mod_relay_handoff_register_hooks(p);
    mod_relay_handoff_tls_register_hooks(p);
    mod_relay_status_register_hooks(p);
}

module AP_MODULE_DECLARE_DATA relay_module = {
    STANDARD20_MODULE_STUFF,
    NULL, /* no directives in directories: */
    NULL,
    mod_relay_server_create, /* a route is chosen before there is one */
    mod_relay_server_merge,
    mod_relay_directives,
    register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE
#endif
};
