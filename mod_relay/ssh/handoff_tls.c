/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * SSH inside TLS, for networks that let out nothing else. It is a TLS connection whose ALPN is
 * `ssh`, or whose SNI is ssh.<domain> and whose first words are `SSH-`. httpd keeps the TLS end:
 * each such connection keeps a thread and its TLS state for as long as it lives, and RelaySSHTLSMax
 * bounds their number in a process. The other end, one half of a socket pair, goes to rlyd, through
 * the same admission as all others. mod_proxy's own tunnel copies between the two.
 */

#include "connection.h"
#include "hooks.h"
#include "realm.h"
#include "relay_rlyd.h"
#include "servers.h"
#include "weak_proxy.h"

#include <apr_atomic.h>
#include <apr_network_io.h>
#include <ap_mpm.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL "ssh"

/* A silence of this length is a pause. Requests rarely wait for as long, and keepalives come less
 * often. */
#define PAUSE apr_time_from_sec(10)

static volatile apr_uint32_t in_use; /* in this process */

/* ---- ALPN: mod_ssl asks in the middle of the handshake, so its answer is only noted */

static int propose(conn_rec *c, request_rec *r, server_rec *s, const apr_array_header_t *offers,
                   apr_array_header_t *proposals)
{
    if (r || !offers || !mod_relay_ssh_server(c) || !ap_array_str_contains(offers, PROTOCOL))
        return DECLINED;
    APR_ARRAY_PUSH(proposals, const char *) = PROTOCOL;
    return OK;
}

static int switch_to(conn_rec *c, request_rec *r, server_rec *s, const char *protocol)
{
    if (r || strcmp(protocol, PROTOCOL))
        return DECLINED;
    mod_relay_connection_of(c)->negotiated_ssh = 1;
    return OK;
}

static const char *protocol_of(const conn_rec *c)
{
    const mod_relay_connection *mine = ap_get_module_config(c->conn_config, &relay_module);

    return mine && mine->negotiated_ssh ? PROTOCOL : NULL;
}

/* ---- SNI ssh.<domain> and SSH's first words: for clients that cannot send ALPN */

static int begins_with_ssh(conn_rec *c)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    char buf[4];
    apr_size_t len = sizeof(buf);
    int is = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE, APR_BLOCK_READ,
                            sizeof(buf)) == APR_SUCCESS &&
             apr_brigade_flatten(bb, buf, &len) == APR_SUCCESS && len == sizeof(buf) &&
             memcmp(buf, "SSH-", 4) == 0;

    apr_brigade_destroy(bb);
    return is;
}

static int is_ssh(conn_rec *c, const mod_relay_server *conf)
{
    const char *sni;

    if (protocol_of(c))
        return 1;
    if (strcmp(ap_get_protocol(c), AP_PROTOCOL_HTTP1))
        return 0;
    sni = ap_ssl_var_lookup(c->pool, c->base_server, c, NULL, "SSL_TLS_SNI");
    return sni && ap_cstr_casecmpn(sni, "ssh.", 4) == 0 &&
           ap_cstr_casecmp(sni + 4, conf->realm->relay->domain) == 0 && begins_with_ssh(c);
}

/* ---- the tunnel */

/* httpd's end of the pair as a connection that mod_proxy's tunnel can use; NULL if that fails. */
static conn_rec *wrap(conn_rec *c, int fd, apr_socket_t **out)
{
    struct sockaddr_un {
        unsigned short family;
        char path[108];
    } none = {AF_UNIX, ""};
    apr_os_sock_info_t info = {
        &fd, (struct sockaddr *)&none, (struct sockaddr *)&none, AF_UNIX, SOCK_STREAM, 0};
    apr_socket_t *socket;
    conn_rec *inner;
    int rc;

    if (apr_os_sock_make(&socket, &info, c->pool) != APR_SUCCESS)
        return NULL;
    apr_socket_timeout_set(socket, -1);
    inner = ap_run_create_connection(c->pool, c->base_server, socket, c->id, NULL, c->bucket_alloc);
    if (!inner)
        return NULL;
    inner->outgoing = 1;
    *out = socket;
    rc = ap_run_pre_connection(inner, socket);
    return rc == OK || rc == DONE ? inner : NULL;
}

static int process_is_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

/*
 * sshd's keepalives end a dead session; httpd does not judge. But a process that a graceful restart
 * has told to stop lives for as long as its last connection, and an SSH session can live for weeks.
 * With one restart a day (Debian's logrotate) old processes would fill the scoreboard until none
 * can be started any more. So in such a process a session ends at its first pause. The device comes
 * back and finds a new process.
 */
static void carry_on(conn_rec *c, proxy_tunnel_rec *tunnel)
{
    tunnel->timeout = PAUSE;
    while (ap_proxy_tunnel_run(tunnel) == HTTP_GATEWAY_TIME_OUT) {
        if (process_is_stopping()) {
            ap_log_cerror(APLOG_MARK, APLOG_INFO, 0, c,
                          "RLY157 SSH inside TLS is ended: this process of httpd is to stop");
            return;
        }
    }
}

static void run_tunnel(conn_rec *c, int fd)
{
    request_rec *r = ap_create_request(c);
    proxy_tunnel_rec *tunnel;
    apr_socket_t *socket;
    conn_rec *inner = wrap(c, fd, &socket);

    if (!inner || ap_proxy_tunnel_create(&tunnel, r, inner, "SSH") != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c,
                      "RLY156 SSH inside TLS is refused: no tunnel can be made");
        close(fd);
        return;
    }
    carry_on(c, tunnel);
    apr_socket_close(socket);
}

static int carry(conn_rec *c, const mod_relay_server *conf)
{
    const char *why = NULL;
    apr_socket_t *client = ap_get_conn_socket(c);
    apr_os_sock_t visitor;
    apr_status_t rv;
    int pair[2];

    if (!client || apr_os_sock_get(&visitor, client) != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c,
                      "RLY154 SSH inside TLS is refused: it comes by no socket");
        return OK;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, errno, c,
                      "RLY153 SSH inside TLS is refused: no socket pair");
        return OK;
    }
    /* rlyd takes no word of ours for the client's address: it asks the kernel about this socket. */
    rv = relay_rlyd_handoff(conf->realm->relay->rlyd_socket, pair[1], RELAY_RLYD_TLS, visitor,
                            c->pool, &why);
    close(pair[1]);
    if (rv != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c, "RLY154 SSH inside TLS is refused: %s", why);
        close(pair[0]);
        return OK;
    }
    run_tunnel(c, pair[0]);
    return OK;
}

static int process_connection(conn_rec *c)
{
    const mod_relay_server *conf;

    /* A client that has sent a request before (c->keepalives) speaks HTTP. Most calls are such. */
    if (c->master || c->keepalives || !ap_ssl_conn_is_ssl(c) ||
        (conf = mod_relay_ssh_server(c)) == NULL || !is_ssh(c, conf))
        return DECLINED;
    c->keepalive = AP_CONN_CLOSE;
    if (c->cs)
        c->cs->state = CONN_STATE_LINGER;
    if (apr_atomic_inc32(&in_use) < (apr_uint32_t)conf->ssh_tls_max)
        carry(c, conf);
    else
        ap_log_cerror(
            APLOG_MARK, APLOG_WARNING, 0, c,
            "RLY155 SSH inside TLS is refused: RelaySSHTLSMax (%d in each process) is reached",
            conf->ssh_tls_max);
    apr_atomic_dec32(&in_use);
    return OK;
}

void mod_relay_handoff_tls_register_hooks(apr_pool_t *p)
{
    static const char *const after_ssl[] = {"mod_ssl.c", NULL};

    ap_hook_protocol_propose(propose, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_protocol_switch(switch_to, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_protocol_get(protocol_of, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(process_connection, after_ssl, NULL, APR_HOOK_MIDDLE);
}
