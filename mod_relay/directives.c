/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The directives: parsing, merging, and the checks that `apachectl configtest` runs. */

#include "mod_relay.h"
#include "relay_duration.h"

#include <apr_lib.h>
#include <http_core.h>

#define UNSET (-1)
#define SSH_TLS_MAX_DEFAULT 16
#define CACHE_TTL_DEFAULT apr_time_from_sec(60)
#define STALE_MAX_DEFAULT apr_time_from_sec(300)
#define BACKEND_TIMEOUT_DEFAULT apr_time_from_sec(60)
#define BACKEND_CONNECT_TIMEOUT_DEFAULT apr_time_from_sec(5)
#define BACKEND_IDLE_DEFAULT apr_time_from_sec(60)

static apr_array_header_t *realms;

apr_array_header_t *mod_relay_realms(void)
{
    return realms;
}

void *mod_relay_server_create(apr_pool_t *p, server_rec *s)
{
    mod_relay_server *conf = apr_pcalloc(p, sizeof(*conf));

    conf->id = apr_psprintf(p, "%pp", (void *)conf);
    conf->engine = UNSET;
    conf->ssh = UNSET;
    conf->ssh_tls_max = UNSET;
    conf->ssh_wait_max = UNSET;
    conf->tunnel_threads = UNSET;
    conf->tunnel_percent = UNSET;
    conf->cache_ttl = UNSET;
    conf->stale_max = UNSET;
    conf->backend_timeout = UNSET;
    conf->backend_connect_timeout = UNSET;
    conf->backend_idle = UNSET;
    return conf;
}

#define MERGE(field) conf->field = a->field == UNSET ? b->field : a->field

void *mod_relay_server_merge(apr_pool_t *p, void *base, void *add)
{
    mod_relay_server *conf = apr_pcalloc(p, sizeof(*conf)), *b = base, *a = add;

    conf->id = apr_psprintf(p, "%pp", (void *)conf);
    MERGE(engine);
    MERGE(ssh);
    MERGE(ssh_tls_max);
    MERGE(ssh_wait_max);
    conf->tunnel_threads = a->tunnel_percent == UNSET && a->tunnel_threads == UNSET
                               ? b->tunnel_threads
                               : a->tunnel_threads;
    conf->tunnel_percent = a->tunnel_percent == UNSET && a->tunnel_threads == UNSET
                               ? b->tunnel_percent
                               : a->tunnel_percent;
    MERGE(cache_ttl);
    MERGE(stale_max);
    MERGE(backend_timeout);
    MERGE(backend_connect_timeout);
    MERGE(backend_idle);
    conf->conf_file = a->conf_file ? a->conf_file : b->conf_file;
    if (a->hide_cookies && b->hide_cookies)
        conf->hide_cookies = apr_array_append(p, b->hide_cookies, a->hide_cookies);
    else
        conf->hide_cookies = a->hide_cookies ? a->hide_cookies : b->hide_cookies;
    return conf;
}

static const char *set_engine(cmd_parms *cmd, void *dummy, int on)
{
    mod_relay_server_of(cmd->server)->engine = on;
    return NULL;
}

static const char *set_ssh(cmd_parms *cmd, void *dummy, int on)
{
    mod_relay_server_of(cmd->server)->ssh = on;
    return NULL;
}

/* A number from `least` to `most`, and after it `rest` or nothing. */
static int read_number(const char *arg, int least, int most, const char *rest, int *out)
{
    char *end;
    apr_int64_t n = apr_strtoi64(arg, &end, 10);

    if (!apr_isdigit(*arg) || strcmp(end, rest) || n < least || n > most)
        return 0;
    *out = (int)n;
    return 1;
}

static const char *set_ssh_tls_max(cmd_parms *cmd, void *dummy, const char *arg)
{
    if (!read_number(arg, 0, 10000, "", &mod_relay_server_of(cmd->server)->ssh_tls_max))
        return apr_pstrcat(cmd->pool, "RelaySSHTLSMax: `", arg,
                           "' is not a number from 0 (none) to 10000", NULL);
    return NULL;
}

static const char *set_ssh_wait_max(cmd_parms *cmd, void *dummy, const char *arg)
{
    if (!read_number(arg, 1, 10000, "", &mod_relay_server_of(cmd->server)->ssh_wait_max))
        return apr_pstrcat(cmd->pool, "RelaySSHWaitMax: `", arg,
                           "' is not a number from 1 to 10000", NULL);
    return NULL;
}

static const char *set_tunnel_threads(cmd_parms *cmd, void *dummy, const char *arg)
{
    mod_relay_server *conf = mod_relay_server_of(cmd->server);

    conf->tunnel_threads = conf->tunnel_percent = UNSET;
    if (!read_number(arg, 0, 100000, "", &conf->tunnel_threads) &&
        !read_number(arg, 1, 100, "%", &conf->tunnel_percent))
        return apr_pstrcat(cmd->pool, "RelayTunnelThreads: `", arg,
                           "' is neither a number from 0 (no limit) to 100000 nor a share of "
                           "MaxRequestWorkers from 1% to 100%",
                           NULL);
    return NULL;
}

static const char *set_conf_file(cmd_parms *cmd, void *dummy, const char *arg)
{
    mod_relay_server_of(cmd->server)->conf_file = ap_server_root_relative(cmd->pool, arg);
    return mod_relay_server_of(cmd->server)->conf_file
               ? NULL
               : apr_pstrcat(cmd->pool, "RelayConfig: bad path ", arg, NULL);
}

static const char *add_hidden_cookie(cmd_parms *cmd, void *dummy, const char *arg)
{
    mod_relay_server *conf = mod_relay_server_of(cmd->server);

    if (!*arg || arg[strcspn(arg, "=;, \t\"")])
        return apr_pstrcat(cmd->pool, "RelayHideCookies: `", arg,
                           "' is no name of a cookie: give names, which may end in *, with "
                           "blanks between them",
                           NULL);
    if (!conf->hide_cookies)
        conf->hide_cookies = apr_array_make(cmd->pool, 4, sizeof(const char *));
    APR_ARRAY_PUSH(conf->hide_cookies, const char *) = arg;
    return NULL;
}

/* All directives that take a time span; cmd->info is the field's offset. */
static const char *set_span(cmd_parms *cmd, void *dummy, const char *arg)
{
    apr_interval_time_t *field =
        (void *)((char *)mod_relay_server_of(cmd->server) + (apr_size_t)cmd->info);
    const char *why;

    if (relay_duration_parse(field, arg, cmd->pool, &why) != APR_SUCCESS)
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", why, NULL);
    if (*field == 0 && (apr_size_t)cmd->info != APR_OFFSETOF(mod_relay_server, stale_max))
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " must be longer than 0", NULL);
    return NULL;
}

#define SPAN(name, field, help) \
    AP_INIT_TAKE1(name, set_span, (void *)APR_OFFSETOF(mod_relay_server, field), RSRC_CONF, help)

const command_rec mod_relay_directives[] = {
    AP_INIT_FLAG(
        "RelayEngine", set_engine, NULL, RSRC_CONF,
        "on|off: whether this server sends requests for NAME.domain to devices; default off"),
    AP_INIT_FLAG(
        "RelaySSH", set_ssh, NULL, RSRC_CONF,
        "on|off: whether SSH connections to this server's addresses go to rlyd; default off"),
    AP_INIT_TAKE1("RelaySSHTLSMax", set_ssh_tls_max, NULL, RSRC_CONF,
                  "how many SSH connections inside TLS one process carries, a thread each; default "
                  "16, 0: none"),
    AP_INIT_TAKE1("RelaySSHWaitMax", set_ssh_wait_max, NULL, RSRC_CONF,
                  "how many connections that have not said yet what they are wait in one process, "
                  "half of them from one "
                  "address; default half of ThreadsPerChild"),
    AP_INIT_TAKE1("RelayTunnelThreads", set_tunnel_threads, NULL, RSRC_CONF,
                  "how many requests of one tunnel may be under way at once, a number or a share "
                  "of MaxRequestWorkers "
                  "(of which 16 is the least); default 25%, 0: any number"),
    AP_INIT_TAKE1("RelayConfig", set_conf_file, NULL, RSRC_CONF,
                  "the relay.conf to use; default is the file all parts read"),
    AP_INIT_ITERATE("RelayHideCookies", add_hidden_cookie, NULL, RSRC_CONF,
                    "more cookies of this server's own logins, which stay here; those of "
                    "mod_session and mod_auth_openidc are known"),
    SPAN("RelayCacheTTL", cache_ttl,
         "how long a route is used without asking Redis again, as a safety net below the "
         "invalidations; default 60s"),
    SPAN("RelayStaleMax", stale_max,
         "how long known routes are used while Redis is away; shorter than [relay] cooldown; "
         "default 5m"),
    SPAN("RelayBackendTimeout", backend_timeout,
         "how long a device may be silent while it answers; default 60s"),
    SPAN("RelayBackendConnectTimeout", backend_connect_timeout,
         "how long a connection to a tunnel's listen address may take; default 5s"),
    SPAN("RelayBackendIdle", backend_idle,
         "how long an idle connection to a device is kept; default 60s"),
    {.name = NULL}};

/* ---- checks */

static void set_defaults(mod_relay_server *conf, const relay_config *relay)
{
    if (conf->ssh_tls_max == UNSET)
        conf->ssh_tls_max = SSH_TLS_MAX_DEFAULT;
    if (conf->ssh_wait_max == UNSET)
        conf->ssh_wait_max = 0;
    if (conf->cache_ttl == UNSET)
        conf->cache_ttl =
            relay->cooldown / 2 < CACHE_TTL_DEFAULT ? relay->cooldown / 2 : CACHE_TTL_DEFAULT;
    if (conf->stale_max == UNSET)
        conf->stale_max =
            relay->cooldown / 2 < STALE_MAX_DEFAULT ? relay->cooldown / 2 : STALE_MAX_DEFAULT;
    if (conf->backend_timeout == UNSET)
        conf->backend_timeout = BACKEND_TIMEOUT_DEFAULT;
    if (conf->backend_connect_timeout == UNSET)
        conf->backend_connect_timeout = BACKEND_CONNECT_TIMEOUT_DEFAULT;
    if (conf->backend_idle == UNSET)
        conf->backend_idle = BACKEND_IDLE_DEFAULT;
}

static mod_relay_realm *realm_for(const char *file, server_rec *s, apr_pool_t *p)
{
    mod_relay_realm *realm;
    relay_config *relay;
    const char *why = NULL;
    int i;

    for (i = 0; i < realms->nelts; i++) {
        realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);
        if (strcmp(realm->relay->file, file) == 0)
            return realm;
    }
    if (relay_config_load(&relay, file, "web", p, &why) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s, "RLY103 RelayConfig: %s", why);
        return NULL;
    }
    realm = apr_pcalloc(p, sizeof(*realm));
    realm->relay = relay;
    realm->server = s;
    if (!mod_relay_owner_prepare(realm, s))
        return NULL;
    APR_ARRAY_PUSH(realms, mod_relay_realm *) = realm;
    return realm;
}

/* An address that was one device's may be another's after the cooldown: nothing may be remembered
 * for so long. */
static int check_against_cooldown(const char *directive, apr_interval_time_t span,
                                  const relay_config *relay, server_rec *s, apr_pool_t *p)
{
    if (span < relay->cooldown)
        return 1;
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, 0, s,
                 "RLY104 %s (%s) must be shorter than [relay] cooldown (%s) in %s: a cache that "
                 "outlives the cooldown could "
                 "send a request to another device. Shorten the first or lengthen the second.",
                 directive, relay_duration_print(span, p), relay_duration_print(relay->cooldown, p),
                 relay->file);
    return 0;
}

/* check_config, because that is what `configtest` runs after the directives themselves. */
static int check_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    const char *missing = mod_relay_backend_missing();
    server_rec *s;
    int i;

    realms = apr_array_make(p, 1, sizeof(mod_relay_realm *));
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
        set_defaults(conf, conf->realm->relay);
        conf->hidden_cookies = mod_relay_hidden_cookies(conf->hide_cookies, p);
        if (!check_against_cooldown("RelayStaleMax", conf->stale_max, conf->realm->relay, s, p) ||
            !check_against_cooldown("RelayCacheTTL", conf->cache_ttl, conf->realm->relay, s, p))
            return HTTP_INTERNAL_SERVER_ERROR;
    }
    for (i = 0; i < realms->nelts; i++)
        mod_relay_check_realm(APR_ARRAY_IDX(realms, i, mod_relay_realm *), main_server, ptemp);
    mod_relay_handoff_servers(p, main_server);
    return OK;
}

void mod_relay_directives_register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}
