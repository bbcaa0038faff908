/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A hundred fields (LimitRequestFields) of 64 kB would be 6 MB for each request that somebody
 * begins. mod_http2 joins the fields of one name, cookies among them, and copies what it has each
 * time, which costs far more than what is sent. So a filter on the visitor's connection counts the
 * bytes of a head, and over HTTP/2 its fields.
 */

#include "limits.h"
#include "answer/frames.h"
#include "hooks.h"

#include <http_connection.h>
#include <http_protocol.h>
#include <util_filter.h>

/* 64 kB, and some for the method, the version and the field's name. */
#define LINE_MAX_RAISED (65536 + 1024)
/* HTTP/2 begins with these bytes, and then with frames (RFC 9113, 3.4). */
#define PREFACE (sizeof("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") - 1)

/* Shorter lines are not counted: there are a hundred of them at most in a head, and as many as
 * there are chunks in a body. */
#define SHORT_LINE 64

typedef struct visitor {
    apr_off_t seen;          /* of this request, over HTTP/1 */
    apr_size_t preface;      /* bytes of it that are still to come */
    mod_relay_frames frames; /* over HTTP/2 */
    int is_h2;
} visitor;

static ap_filter_rec_t *head_filter;

/* ---- the configuration */

static int shares_address(const server_rec *a, const server_rec *b)
{
    const server_addr_rec *x, *y;

    for (x = a->addrs; x; x = x->next)
        for (y = b->addrs; y; y = y->next)
            if ((x->host_port == y->host_port || !x->host_port || !y->host_port) &&
                (apr_sockaddr_is_wildcard(x->host_addr) || apr_sockaddr_is_wildcard(y->host_addr) ||
                 apr_sockaddr_equal(x->host_addr, y->host_addr)))
                return 1;
    return 0;
}

static int is_named(const ap_directive_t *d, const char *name)
{
    for (; d; d = d->next)
        if (ap_cstr_casecmp(d->directive, name) == 0 || is_named(d->first_child, name))
            return 1;
    return 0;
}

void mod_relay_limits_raise(server_rec *main_server)
{
    int line = !is_named(ap_conftree, "LimitRequestLine"),
        field = !is_named(ap_conftree, "LimitRequestFieldSize");
    server_rec *s, *with;

    for (s = main_server; s; s = s->next) {
        for (with = main_server; with; with = with->next)
            if (mod_relay_server_of(with)->engine == 1 && (with == s || shares_address(with, s)))
                break;
        if (!with)
            continue;
        mod_relay_server_of(s)->large_heads = 1;
        if (line)
            s->limit_req_line = LINE_MAX_RAISED;
        if (field)
            s->limit_req_fieldsize = LINE_MAX_RAISED;
    }
}

/* ---- the bound */

static apr_status_t cut_off(conn_rec *c, apr_bucket_brigade *bb, apr_status_t rv)
{
    ap_log_cerror(
        APLOG_MARK, APLOG_INFO, 0, c,
        "RLY118 a request has a head of more than %d kB, or %d fields over HTTP/2, and is "
        "refused",
        MOD_RELAY_HEAD_MAX / 1024, MOD_RELAY_FIELDS_MAX);
    apr_brigade_cleanup(bb);
    return rv;
}

static apr_status_t follow_h2(conn_rec *c, visitor *v, apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t length, skip;
        apr_status_t rv;

        if (APR_BUCKET_IS_METADATA(b))
            continue;
        if ((rv = apr_bucket_read(b, &data, &length, APR_BLOCK_READ)) != APR_SUCCESS)
            return rv;
        skip = length < v->preface ? length : v->preface;
        v->preface -= skip;
        if (!mod_relay_frames_follow(&v->frames, data + skip, length - skip, MOD_RELAY_HEAD_MAX))
            return cut_off(c, bb, APR_ECONNABORTED);
    }
    return APR_SUCCESS;
}

/* As apr_brigade_length(), whose call costs more than all else here. */
static apr_off_t length_of(const apr_bucket_brigade *bb)
{
    apr_off_t length = 0;
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b))
        length += b->length == (apr_size_t)-1 ? 0 : (apr_off_t)b->length;
    return length;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    visitor *v = f->ctx;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    apr_off_t length;

    if (rv != APR_SUCCESS)
        return rv;
    if (mode == AP_MODE_GETLINE) {
        length = length_of(bb);
        v->seen += length > SHORT_LINE ? length : 0;
        return v->seen > MOD_RELAY_HEAD_MAX ? cut_off(f->c, bb, APR_ENOSPC) : APR_SUCCESS;
    }
    if (mode != AP_MODE_READBYTES)
        return APR_SUCCESS;
    if (!v->is_h2 && strncmp(ap_get_protocol(f->c), "h2", 2) == 0) {
        v->is_h2 = 1;
        v->preface = PREFACE;
    }
    return v->is_h2 ? follow_h2(f->c, v, bb) : APR_SUCCESS;
}

static int pre_connection(conn_rec *c, void *csd)
{
    visitor *v;

    if (c->outgoing || c->master || !mod_relay_server_of(c->base_server)->large_heads)
        return DECLINED;
    v = apr_pcalloc(c->pool, sizeof(*v));
    ap_add_input_filter_handle(head_filter, v, NULL, c);
    return OK;
}

/* A request of HTTP/1 is about to be read. */
static void pre_read_request(request_rec *r, conn_rec *c)
{
    ap_filter_t *f = c->master ? NULL : c->input_filters;

    while (f && f->frec != head_filter)
        f = f->next;
    if (f)
        ((visitor *)f->ctx)->seen = 0;
}

void mod_relay_limits_register_hooks(apr_pool_t *p)
{
    /* Above mod_ssl's, which is AP_FTYPE_CONNECTION + 5. */
    head_filter =
        ap_register_input_filter("RELAY_VISITOR_HEAD", on_read, NULL, AP_FTYPE_CONNECTION);
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_read_request(pre_read_request, NULL, NULL, APR_HOOK_MIDDLE);
}
