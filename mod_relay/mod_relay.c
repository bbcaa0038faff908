/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The module itself: its record, its hooks, and librelay's log sink. */

#include "directives.h"
#include "hooks.h"
#include "relay_log.h"

static void log_sink(void *baton, relay_log_level level, const char *line)
{
    static const int levels[] = {APLOG_ERR, APLOG_WARNING, APLOG_NOTICE, APLOG_INFO, APLOG_DEBUG};

    ap_log_error(APLOG_MARK, levels[level], 0, (server_rec *)baton, "%s", line);
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
    mod_relay_setup_register_hooks(p);
    mod_relay_status_register_hooks(p);
    mod_relay_handoff_register_hooks(p);
    mod_relay_waiting_register_hooks(p);
    mod_relay_handoff_tls_register_hooks(p);
    mod_relay_limits_register_hooks(p);
    mod_relay_misdirected_register_hooks(p);
    mod_relay_route_register_hooks(p);
    mod_relay_paths_register_hooks(p);
    mod_relay_memory_register_hooks(p);
    mod_relay_shared_register_hooks(p);
    mod_relay_shares_register_hooks(p);
    mod_relay_proxy_register_hooks(p);
    mod_relay_owner_register_hooks(p);
    mod_relay_patience_register_hooks(p);
    mod_relay_expect_register_hooks(p);
    mod_relay_upload_register_hooks(p);
    mod_relay_origin_register_hooks(p);
    mod_relay_tls_register_hooks(p);
    mod_relay_tls_context_register_hooks(p);
    mod_relay_sockets_register_hooks(p);
    mod_relay_wire_register_hooks(p);
    mod_relay_head_register_hooks(p);
    mod_relay_chunks_register_hooks(p);
    mod_relay_head_h2_register_hooks(p);
    mod_relay_answer_register_hooks(p);
    mod_relay_interim_register_hooks(p);
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
