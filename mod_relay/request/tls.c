/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_ssl reads its SSLProxy… settings from the request's configuration for directories, as those
 * of a <Proxy> section. Devices have such a section of their own here, made of the directives below
 * and of what the virtual host says of SSLProxy…, which counts more.
 */

#include "tls.h"
#include "backend.h"
#include "hooks.h"
#include "tls_context.h"
#include "weak_proxy.h"

#include <apr_atomic.h>
#include <http_connection.h>
#include <http_protocol.h>

/* A device answers in the handshake within this time, however long it may take for a page. */
#define PATIENCE apr_time_from_sec(30)

/*
 * Devices have self-signed certificates, for a name or address of their own, often expired: there
 * is nothing to compare them with. The device's identity is its SSH key, and the whole way to it,
 * through sshd on this host and ssh on the device, is inside that session.
 */
static const char *const settings[][2] = {{"SSLProxyEngine", "on"},
                                          {"SSLProxyVerify", "none"},
                                          {"SSLProxyCheckPeerName", "off"},
                                          {"SSLProxyCheckPeerCN", "off"},
                                          {"SSLProxyCheckPeerExpire", "off"}};
#define NSETTINGS (sizeof(settings) / sizeof(settings[0]))

/* ---- the settings */

static const char *read_settings(ap_conf_vector_t *section, server_rec *s, apr_pool_t *p,
                                 apr_pool_t *ptemp)
{
    ap_directive_t lines[NSETTINGS];
    cmd_parms parms;
    unsigned i;

    memset(lines, 0, sizeof(lines));
    for (i = 0; i < NSETTINGS; i++) {
        lines[i].directive = settings[i][0];
        lines[i].args = settings[i][1];
        lines[i].filename = "mod_relay";
        lines[i].next = i + 1 < NSETTINGS ? &lines[i + 1] : NULL;
    }
    memset(&parms, 0, sizeof(parms));
    parms.limited = -1;
    parms.override = RSRC_CONF;
    parms.override_opts = OPT_ALL;
    parms.pool = p;
    parms.temp_pool = ptemp;
    parms.server = s;
    return ap_walk_config(lines, &parms, section);
}

int mod_relay_tls_prepare(mod_relay_server *conf, server_rec *s, apr_pool_t *p, apr_pool_t *ptemp)
{
    module *ssl = ap_find_linked_module("mod_ssl.c");
    const char *wrong;
    int age;

    for (age = MOD_RELAY_TLS_CURRENT; ssl && age <= MOD_RELAY_TLS_ACCEPTS_OLD; age++) {
        ap_conf_vector_t *ours = ap_create_per_dir_config(p), *all;

        if ((wrong = read_settings(ours, s, p, ptemp)) != NULL) {
            ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s,
                         "RLY117 mod_ssl refuses the settings for https:// services: %s", wrong);
            return 0;
        }
        all = ap_merge_per_dir_configs(p, ours, s->lookup_defaults);
        conf->device_tls[age] = ap_create_per_dir_config(p);
        ap_set_module_config(conf->device_tls[age], ssl, ap_get_module_config(all, ssl));
    }
    return 1;
}

/* As mod_proxy does it for each <Proxy> section. */
static int post_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    server_rec *s;
    int age, status;

    for (s = main_server; s; s = s->next) {
        mod_relay_server *conf = mod_relay_server_of(s);

        if (conf->engine != 1)
            continue;
        for (age = MOD_RELAY_TLS_CURRENT; age <= MOD_RELAY_TLS_ACCEPTS_OLD; age++) {
            if (!conf->device_tls[age])
                continue;
            mod_relay_tls_context_begin((mod_relay_tls_age)age);
            status = proxy_run_section_post_config(p, plog, ptemp, s, conf->device_tls[age]);
            mod_relay_tls_context_done();
            if (status != OK && status != DECLINED)
                return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

/* ---- the handshake */

/* mod_proxy has put the name there for mod_ssl. */
#define NAME_NOTE "proxy-request-hostname"

static int pre_connection(conn_rec *c, void *csd)
{
    mod_relay_backend *be;

    if (c->outgoing && apr_table_get(c->notes, NAME_NOTE) &&
        (be = mod_relay_backend_of(c)) != NULL &&
        apr_atomic_read32(&mod_relay_backend_tls_of(be)->nameless))
        apr_table_unset(c->notes, NAME_NOTE);
    return OK;
}

static apr_status_t shake_hands(request_rec *r, proxy_conn_rec *conn)
{
    conn_rec *c = conn->connection;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    apr_interval_time_t timeout = 0;
    apr_status_t rv;

    apr_socket_timeout_get(conn->sock, &timeout);
    if (timeout < 0 || timeout > PATIENCE)
        apr_socket_timeout_set(conn->sock, PATIENCE);
    rv = ap_get_brigade(c->input_filters, bb, AP_MODE_INIT, APR_BLOCK_READ, 0);
    apr_socket_timeout_set(conn->sock, timeout);
    apr_brigade_destroy(bb);
    return rv;
}

/* Makes a connection that the request will find in the pool. */
static apr_status_t connect_once(request_rec *r, mod_relay_request *rr, proxy_server_conf *conf,
                                 const char *url, int *named)
{
    char port[32], *copy = apr_pstrdup(r->pool, url);
    apr_uri_t *uri = apr_pcalloc(r->pool, sizeof(*uri));
    apr_status_t rv = APR_EGENERAL;
    proxy_conn_rec *conn = NULL;

    *named = 0;
    if (ap_proxy_acquire_connection("RELAY", &conn, rr->worker, r->server) != OK)
        return rv;
    conn->is_ssl = 1;
    if (ap_proxy_determine_connection(r->pool, r, conf, rr->worker, conn, uri, &copy, NULL, 0, port,
                                      sizeof(port)) == OK &&
        ap_proxy_connect_backend("RELAY", conn, rr->worker, r->server) == OK &&
        ap_proxy_connection_create_ex("RELAY", conn, r) == OK) {
        *named = apr_table_get(conn->connection->notes, NAME_NOTE) != NULL;
        rv = shake_hands(r, conn);
    }
    if (rv != APR_SUCCESS)
        conn->close = 1;
    ap_proxy_release_connection("RELAY", conn, r->server);
    return rv;
}

static int accepts_old(const mod_relay_request *rr)
{
    return rr->route.old_tls || rr->server->old_tls == 1;
}

int mod_relay_tls_begin(request_rec *r, mod_relay_request *rr, void *conf, const char *url)
{
    int old = accepts_old(rr), named;
    mod_relay_backend_tls *tls;
    apr_status_t rv;

    if (strcmp(rr->route.scheme, "https") || !rr->server->device_tls[old])
        return OK;
    r->per_dir_config =
        ap_merge_per_dir_configs(r->pool, r->per_dir_config, rr->server->device_tls[old]);
    tls = mod_relay_backend_tls_of(rr->backend);
    apr_atomic_set32(&tls->fault, MOD_RELAY_TLS_NO_FAULT);
    if (apr_atomic_read32(&tls->works))
        return OK;
    rv = connect_once(r, rr, conf, url, &named);
    /* Some services end the connection, or say something else than unrecognized_name. */
    if (rv != APR_SUCCESS && named && !APR_STATUS_IS_TIMEUP(rv)) {
        apr_uint32_t fault = apr_atomic_read32(&tls->fault), code = apr_atomic_read32(&tls->code);

        apr_atomic_set32(&tls->nameless, 1);
        if ((rv = connect_once(r, rr, conf, url, &named)) != APR_SUCCESS) {
            apr_atomic_set32(&tls->nameless, 0);
            apr_atomic_set32(&tls->fault, fault);
            apr_atomic_set32(&tls->code, code);
        }
    }
    return rv == APR_SUCCESS ? OK : HTTP_SERVICE_UNAVAILABLE;
}

int mod_relay_tls_page(request_rec *r, const mod_relay_request *rr)
{
    static const int pages[] = {[MOD_RELAY_TLS_NO_FAULT] = -1,
                                [MOD_RELAY_TLS_TOO_OLD] = MOD_RELAY_TLS_OLD,
                                [MOD_RELAY_TLS_NOT_SPOKEN] = MOD_RELAY_TLS_NONE,
                                [MOD_RELAY_TLS_NAME_REFUSED] = MOD_RELAY_TLS_NAME,
                                [MOD_RELAY_TLS_WANTS_CERTIFICATE] = MOD_RELAY_TLS_CERTIFICATE,
                                [MOD_RELAY_TLS_OTHER] = MOD_RELAY_TLS_FAILED};
    mod_relay_backend_tls *tls = mod_relay_backend_tls_of(rr->backend);
    apr_uint32_t fault = apr_atomic_read32(&tls->fault);
    const char *reason = mod_relay_tls_reason(apr_atomic_read32(&tls->code));

    if (fault && reason)
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "RLY160 tunnel %s: TLS with %s failed: %s",
                      rr->route.tunnel, rr->route.service, reason);
    /* Where old TLS is accepted already, this is no advice. */
    return fault == MOD_RELAY_TLS_TOO_OLD && accepts_old(rr) ? MOD_RELAY_TLS_FAILED : pages[fault];
}

void mod_relay_tls_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_ssl.c", NULL};

    ap_hook_post_config(post_config, before, NULL, APR_HOOK_LAST);
    /* Behind mod_proxy, which has just made the connection, and ahead of mod_ssl. */
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_FIRST);
}
