/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy's one time-out is the socket's, and it looks at the device only. A device that works on
 * a request for minutes, and a stream that is silent for hours, are no faults. But each holds a
 * thread, and so does a request whose visitor has left: a page that was reloaded a few times would
 * use up the tunnel's share of threads.
 *
 * Two filters on the device's connection, next to its socket, cut a long wait into slices, and look
 * at the visitor in between. httpd gives such filters the connection only, which serves many
 * requests. A thread asks for one request at a time, so it keeps that request for them; an SSI page
 * of a device can have the thread ask for another one in the middle.
 */

#include "patience.h"
#include "hooks.h"
#include "sockets.h"
#include "visitor.h"

#include <apr_optional_hooks.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <mod_proxy.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <util_filter.h>

#define SLICE apr_time_from_sec(1)

/* The handshake with an https:// device. One that does not speak TLS waits for more of it. */
#define HANDSHAKE_MAX apr_time_from_sec(60)

/* A visitor whose network is gone is noticed after two minutes. Before that nobody looks. */
#define KEEPALIVE_AFTER apr_time_from_sec(30)
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES 4

typedef struct mod_relay_patience {
    request_rec *r;
    mod_relay_request *rr;
    conn_rec *device;             /* its connection, once something was read from it */
    int asked;                    /* the request has been sent */
    int reading;                  /* its answer has been asked for */
    int endless;                  /* silence is no fault */
    int probed;                   /* the visitor's connection has keepalives */
    int left;                     /* the visitor has */
    const struct ap_logconf *log; /* r->log, where it is replaced */
    struct mod_relay_patience *outer;
} patience;

static ap_filter_rec_t *read_filter, *write_filter;
static __thread patience *asking;

int mod_relay_patience_is_grpc(const request_rec *r)
{
    static const char grpc[] = "application/grpc";
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    return type && ap_cstr_casecmpn(type, grpc, sizeof(grpc) - 1) == 0;
}

/* ---- the visitor */

/* A visitor whose network is gone sends nothing that says so. */
static void probe_visitor(patience *p)
{
    static const int idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
                     probes = KEEPALIVE_PROBES;
    apr_socket_t *socket = mod_relay_visitor_socket(p->r);
    apr_os_sock_t fd;

    if (p->probed || !socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS)
        return;
    p->probed = 1;
    apr_socket_opt_set(socket, APR_SO_KEEPALIVE, 1);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* mod_proxy_http takes a read that failed for the device's fault, and logs it as an error. */
static apr_status_t leave(patience *p)
{
    static const struct ap_logconf nothing = {NULL, APLOG_EMERG};

    if (!p->left) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, p->r,
                      "RLY168 tunnel %s: the visitor has left, and the device is not waited for",
                      p->rr->route.tunnel);
        p->log = p->r->log;
        p->r->log = &nothing;
    }
    p->left = 1;
    p->r->connection->aborted = 1;
    return APR_ECONNABORTED;
}

/* ---- the device */

static apr_interval_time_t slice_of(const patience *p, apr_interval_time_t left)
{
    apr_interval_time_t slice = mod_relay_sockets_patience(p->rr);

    if (!slice)
        slice = SLICE;
    return left < slice ? left : slice;
}

static apr_interval_time_t limit_of(const patience *p)
{
    const mod_relay_server *conf = p->rr->server;

    if (!p->asked)
        return conf->backend_timeout < HANDSHAKE_MAX ? conf->backend_timeout : HANDSHAKE_MAX;
    return p->endless ? conf->stream_timeout : conf->backend_timeout;
}

static apr_status_t give_up(patience *p)
{
    if (p->asked)
        p->rr->timed_out = limit_of(p);
    return APR_TIMEUP;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    apr_socket_t *socket = ap_get_conn_socket(f->c);
    apr_interval_time_t own = 0, waited = 0, limit;
    patience *p = asking;
    apr_status_t rv;

    if (!p || block != APR_BLOCK_READ || !socket)
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    p->device = f->c;
    apr_socket_timeout_get(socket, &own);
    /* While the visitor is sending, too, mod_proxy_http2 looks at both sides by itself. */
    if (own < SLICE)
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    /* No answer is there at once, and a read that finds nothing is one system call more. */
    if (p->asked && !p->reading) {
        p->reading = 1;
        apr_socket_opt_set(socket, APR_INCOMPLETE_READ, 1);
    }
    for (limit = limit_of(p);;) {
        apr_interval_time_t slice = slice_of(p, limit - waited);

        apr_socket_timeout_set(socket, slice);
        /* What a line has had so far is in bb, and stays there. */
        rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
        if (!APR_STATUS_IS_TIMEUP(rv))
            break;
        waited += slice;
        mod_relay_sockets_silent(p->rr);
        if (mod_relay_visitor_has_left(p->r))
            rv = leave(p);
        else if (waited >= limit)
            rv = give_up(p);
        else {
            if (waited >= KEEPALIVE_AFTER)
                probe_visitor(p);
            continue;
        }
        break;
    }
    apr_socket_timeout_set(socket, own);
    return rv;
}

static apr_status_t on_write(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    /* The socket's own time-out is RelayBackendTimeout (backend.c). */
    if (asking && APR_STATUS_IS_TIMEUP(rv))
        asking->rr->timed_out = asking->rr->server->backend_timeout;
    return rv;
}

/* mod_proxy_http is about to read an answer. */
static int create_req(request_rec *r, request_rec *pr)
{
    mod_relay_request *rr = mod_relay_request_of(r);

    if (!rr || !rr->patience)
        return DECLINED;
    rr->patience->asked = 1;
    rr->sent = rr->upload ? relay_clock() : 0;
    return OK;
}

static int pre_connection(conn_rec *c, void *csd)
{
    if (!c->outgoing || mod_relay_server_of(c->base_server)->engine != 1)
        return DECLINED;
    ap_add_input_filter_handle(read_filter, NULL, NULL, c);
    ap_add_output_filter_handle(write_filter, NULL, NULL, c);
    return OK;
}

/* ---- the life of a request */

void mod_relay_patience_begin(request_rec *r, mod_relay_request *rr)
{
    patience *p = apr_pcalloc(r->pool, sizeof(*p));

    p->r = r;
    p->rr = rr;
    p->asked = strcmp(rr->route.scheme, "h2c") == 0; /* there is no handshake */
    p->endless = mod_relay_patience_is_grpc(r);
    p->outer = asking;
    rr->patience = asking = p;
}

int mod_relay_patience_is_endless(const mod_relay_request *rr)
{
    return rr->patience && rr->patience->endless;
}

void mod_relay_patience_answered(mod_relay_request *rr)
{
    if (rr->patience)
        rr->patience->endless = 1;
}

void mod_relay_patience_upgraded(mod_relay_request *rr)
{
    patience *p = rr->patience;

    if (!p || !p->device)
        return;
    /* From here on mod_proxy polls both sockets. It takes the longer of their time-outs, and does
     * not use this connection for any other request. */
    apr_socket_timeout_set(ap_get_conn_socket(p->device), rr->server->stream_timeout);
    probe_visitor(p);
}

void mod_relay_patience_end(request_rec *r, mod_relay_request *rr)
{
    patience *p = rr->patience;

    if (!p)
        return;
    if (p->left)
        r->log = p->log;
    asking = p->outer;
    rr->patience = NULL;
}

void mod_relay_patience_register_hooks(apr_pool_t *p)
{
    read_filter = ap_register_input_filter("RELAY_PATIENCE", on_read, NULL, AP_FTYPE_NETWORK - 1);
    write_filter =
        ap_register_output_filter("RELAY_PATIENCE", on_write, NULL, AP_FTYPE_NETWORK - 1);
    APR_OPTIONAL_HOOK(proxy, create_req, create_req, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_MIDDLE);
}
