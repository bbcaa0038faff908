/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * What a request may be sent on, and what may be sent again.
 *
 * A device may close a connection at any time when it has no request, and some close each one after
 * its first answer without saying so. A request that meets the closing gets no answer. It is lost
 * if its connection had carried an answer before and has then ended without a byte of this one.
 * RFC 9110, 9.2.2, lets a proxy send it again only if it is idempotent. So all others go where they
 * do not meet the closing: on a connection of a device that has been seen to keep its connections,
 * and only a moment after the last answer; or else on a new connection.
 *
 * The filter stands above TLS on each connection to a device. mod_proxy checks a pooled connection
 * with a read that peeks (ap_check_pipeline()). If the filter fails that read, mod_proxy makes a
 * new connection.
 */

#include "wire.h"
#include "answer/head_h2.h"
#include "backend.h"
#include "hooks.h"
#include "sockets.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <util_filter.h>

/* A connection that has been unused for longer gets no request that cannot be repeated, unless
 * another of its device's was still good after such a time. */
#define TRUSTED_FOR apr_time_from_sec(1)
/* For so long after a request was lost the device is taken for one that closes connections. */
#define DISTRUSTED_FOR apr_time_from_sec(60)
/* And for so long it is known how long it keeps connections that are not used. */
#define REMEMBERED_FOR apr_time_from_sec(600)
/* sshd reads a head of this size in one piece. */
#define HEAD_AT_ONCE 8000

typedef struct mod_relay_wire {
    mod_relay_request *rr; /* the request that has it, until its answer begins; or NULL */
    mod_relay_habits *habits;
    mod_relay_socket *socket; /* or NULL */
    int answers;              /* that have begun on it */
    apr_time_t unused_since;
    const mod_relay_frames *frames; /* what it has had over HTTP/2; NULL: it is HTTP/1 */
    /* of the request that has it: */
    apr_interval_time_t unused;    /* for so long before it */
    int refused;                   /* it does not take the connection */
    int asked;                     /* it was sent, and its answer is being read */
    int failed;                    /* the connection had no answer, and has ended */
    ap_conn_keepalive_e keepalive; /* of the connection, before that */
    apr_uint32_t frames_before;
} wire;

static ap_filter_rec_t *wire_filter;
/* The request that this thread has with mod_proxy. */
static __thread mod_relay_request *current;

/* ---- what a device is known for */

static int is_recent(apr_time_t at, apr_time_t now, apr_interval_time_t span)
{
    return at && now - at < span;
}

/* May a request go on a connection that has been unused for so long? */
static int takes(const mod_relay_request *rr, const mod_relay_habits *h, apr_time_t now,
                 apr_interval_time_t unused)
{
    int distrusted = is_recent(h->lost, now, DISTRUSTED_FOR);

    if (rr->anew)
        return 0;
    if (rr->pinned) /* the visitor is logged in on that one */
        return 1;
    if (rr->repeatable)
        return h->keeps || !distrusted;
    return h->keeps && !distrusted && (unused < TRUSTED_FOR || unused < h->keeps_for) &&
           (!is_recent(h->closed, now, REMEMBERED_FOR) || unused < h->closes_after / 2);
}

/* The device has closed a connection that it had no request on, or that one was under way to. */
static void note_closing(wire *w, mod_relay_request *rr)
{
    apr_time_t now = relay_clock();
    apr_interval_time_t unused = now - w->unused_since;
    mod_relay_habits *h = w->habits;

    rr->lost = 1;
    if (!is_recent(h->closed, now, REMEMBERED_FOR) || unused < h->closes_after)
        h->closes_after = unused;
    h->closed = now;
    h->keeps_for = 0;
}

/* ---- the filter */

static void take(wire *w, mod_relay_request *rr)
{
    w->rr = rr;
    w->asked = w->refused = w->failed = 0;
    w->frames_before = w->frames ? w->frames->of_streams : 0;
    rr->wire = w;
    rr->lost = rr->unread = 0;
}

/* mod_proxy looks whether a pooled connection is still there. @return 0: not for this request */
static int on_check(wire *w, mod_relay_request *rr)
{
    apr_time_t now = relay_clock();

    take(w, rr);
    w->unused = now - w->unused_since;
    w->refused = !takes(rr, w->habits, now, w->unused) ||
                 (w->socket && !mod_relay_socket_take(w->socket, rr));
    return !w->refused;
}

/*
 * mod_proxy_http2 sends a request again by itself when its connection fails, whatever it was and
 * however long it had waited (proxy_http2_handler(): r_may_retry). It then reads the URL anew, and
 * goes no further without one. So there is none while that would be wrong.
 */
static void show_url(const mod_relay_request *rr, int shown)
{
    if (rr->url)
        *rr->url = shown ? 'h' : '\0';
}

static int has_data(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b))
        if (!APR_BUCKET_IS_METADATA(b) && b->length)
            return 1;
    return 0;
}

/* Over HTTP/2 frames of the connection itself may come at any time; the filter below has seen them.
 */
static int has_begun(const wire *w, apr_status_t rv, const apr_bucket_brigade *bb)
{
    return w->frames && w->frames->begun ? w->frames->of_streams != w->frames_before
                                         : rv == APR_SUCCESS && has_data(bb);
}

/* From here on the request is not lost any more, whatever comes; mod_proxy may hand the connection
 * to another one as soon as it has the answer. */
static void let_go(wire *w)
{
    apr_time_t sent = w->rr->sent;

    w->rr->wire = NULL;
    w->rr = NULL;
    if (w->answers) {
        w->habits->keeps = 1;
        if (w->unused > w->habits->keeps_for)
            w->habits->keeps_for = w->unused;
    }
    else if (w->socket)
        mod_relay_socket_answered(w->socket, sent);
    w->answers++;
}

static int has_closed(apr_status_t rv, const apr_bucket_brigade *bb, apr_read_type_e block)
{
    /* At the end of the stream httpd's core says first that there is nothing. */
    if (rv == APR_SUCCESS)
        return block == APR_BLOCK_READ && !has_data(bb);
    return APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) ||
           APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv);
}

static int add_size(void *size, const char *name, const char *value)
{
    *(apr_size_t *)size += strlen(name) + strlen(value) + strlen(": \r\n");
    return 1;
}

static apr_size_t head_size(const request_rec *r)
{
    apr_size_t size = strlen(r->the_request);

    apr_table_do(add_size, &size, r->headers_in, NULL);
    return size;
}

/* So long, in ms, the reset may take that answers what was sent: it is this host's. */
#define RESET_MAX 20

/* Was there a reset? One that comes after the connection's end is not read, but kept (EPIPE); on a
 * busy host it comes later than the end is read, while what was sent is not acknowledged. */
static int is_reset(conn_rec *c, apr_status_t rv)
{
    socklen_t size = sizeof(int);
    apr_os_sock_t fd;
    int error = 0, left, ms;

    if (APR_STATUS_IS_ECONNRESET(rv))
        return 1;
    if (apr_os_sock_get(&fd, ap_get_conn_socket(c)) != APR_SUCCESS)
        return 0;
    for (ms = 0; getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error; ms++) {
        if (ms == RESET_MAX || ioctl(fd, SIOCOUTQ, &left) != 0 || left == 0)
            break;
        apr_sleep(apr_time_from_msec(1));
    }
    return error != 0;
}

/*
 * It was a new connection. sshd reads nothing of it before the device has taken it, and closes it
 * if the device does not. A request that is small enough to be read at once, and was not, is
 * answered with a reset, whether it came before that or after.
 */
static int is_unread(conn_rec *c, const mod_relay_request *rr, apr_status_t rv)
{
    return !ap_request_has_body(rr->r) && head_size(rr->r) < HEAD_AT_ONCE && is_reset(c, rv);
}

/* A read of an answer of which nothing has come so far. */
static void on_first_read(ap_filter_t *f, apr_status_t rv, const apr_bucket_brigade *bb,
                          apr_read_type_e block)
{
    wire *w = f->ctx;

    if (!w->asked) {
        w->asked = 1;
        w->keepalive = f->c->keepalive;
        /* Whatever mod_proxy makes of it: nobody else gets it without this answer. */
        f->c->keepalive = AP_CONN_CLOSE;
        show_url(w->rr, 0);
    }
    if (has_begun(w, rv, bb)) {
        f->c->keepalive = w->keepalive;
        w->unused_since = relay_clock();
        let_go(w);
    }
    else if (w->answers && APR_STATUS_IS_TIMEUP(rv) && block == APR_BLOCK_READ && !w->frames) {
        w->habits->lost = relay_clock(); /* perhaps it reads no second request; never again */
    }
    else if (w->answers && has_closed(rv, bb, block)) {
        note_closing(w, w->rr);
        w->habits->lost = w->habits->closed;
        if (w->rr->repeatable && !w->rr->anew) {
            w->rr->anew = 1;
            show_url(w->rr, 1);
        }
    }
    else if (!w->answers && w->socket && !w->failed && has_closed(rv, bb, block) &&
             strcmp(w->rr->route.scheme, "http") == 0) { /* else it was TLS that has failed */
        w->rr->unread = is_unread(f->c, w->rr, rv);
        mod_relay_socket_failed(w->socket, w->rr->unread);
        w->failed = 1;
    }
}

/* mod_ssl throws the beginning of a line away when the connection ends before the line does. So a
 * byte is peeked at first. @return what that read has said */
static apr_status_t peek(ap_filter_t *f)
{
    apr_bucket_brigade *bb = apr_brigade_create(f->c->pool, f->c->bucket_alloc);
    apr_status_t rv = ap_get_brigade(f->next, bb, AP_MODE_SPECULATIVE, APR_BLOCK_READ, 1);

    on_first_read(f, rv, bb, APR_BLOCK_READ);
    apr_brigade_destroy(bb);
    return rv;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    wire *w = f->ctx;
    /* Once a request has the connection, expect.c peeks like that, too. */
    int is_check = mode == AP_MODE_SPECULATIVE && block == APR_NONBLOCK_READ && !w->rr;
    apr_status_t rv;

    if (is_check && current && !on_check(w, current))
        return APR_EOF;
    if (w->rr && w->answers && mode == AP_MODE_GETLINE &&
        strcmp(w->rr->route.scheme, "https") == 0 && (rv = peek(f)) != APR_SUCCESS)
        return rv;
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    if (w->rr && !is_check)
        on_first_read(f, rv, bb, block);
    else if (mode == AP_MODE_READBYTES)
        w->unused_since = relay_clock();
    return rv;
}

/* ---- from the connection's beginning to its end */

/* The connection has ended. If a request has just taken it and has read nothing, the device had
 * closed it: mod_proxy found that out itself, or could not send. */
static apr_status_t on_end(void *data)
{
    wire *w = data;
    mod_relay_request *rr = w->rr;

    if (w->socket)
        mod_relay_socket_ended(w->socket);
    if (!rr)
        return APR_SUCCESS;
    rr->wire = NULL;
    w->rr = NULL;
    if (w->answers && !w->asked && !w->refused)
        note_closing(w, rr);
    return APR_SUCCESS;
}

static int pre_connection(conn_rec *c, void *csd)
{
    wire *w;

    if (!c->outgoing || !current)
        return DECLINED;
    w = apr_pcalloc(c->pool, sizeof(*w));
    w->habits = mod_relay_backend_habits(current->backend);
    apr_pool_cleanup_register(c->pool, w, on_end, apr_pool_cleanup_null);
    ap_add_input_filter_handle(wire_filter, w, NULL, c);
    if (strcmp(current->route.scheme, "h2c") == 0)
        w->frames = mod_relay_head_h2_follow(c);
    take(w, current);
    return mod_relay_socket_open(&w->socket, c, csd, current);
}

void mod_relay_wire_begin(mod_relay_request *rr)
{
    rr->wire = NULL;
    rr->lost = rr->unread = 0;
    rr->outer = current;
    current = rr;
}

void mod_relay_wire_end(mod_relay_request *rr)
{
    if (rr->wire)
        rr->wire->rr = NULL;
    rr->wire = NULL;
    mod_relay_sockets_end(rr);
    current = rr->outer;
    show_url(rr, 1);
}

void mod_relay_wire_register_hooks(apr_pool_t *p)
{
    wire_filter = ap_register_input_filter("RELAY_WIRE", on_read, NULL, AP_FTYPE_CONNECTION);
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_MIDDLE);
}
