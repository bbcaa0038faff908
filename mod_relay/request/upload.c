/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_reqtimeout wants a body to keep moving: `body=30,minrate=500' is the shipped configuration,
 * and its own default is stricter. That keeps strangers from holding threads, but a stream of gRPC
 * may be silent for hours, and an upload by radio for a minute. Whoever knows a device's name may
 * hold threads in other ways as well, and RelayTunnelThreads bounds those. So for requests to
 * devices mod_reqtimeout's filter is out of use from the moment when mod_proxy has the request.
 *
 * The filter stays in its place: the request's pointers lead through it. The connection's next
 * request finds it as it was.
 */

#include "upload.h"
#include "hooks.h"
#include "patience.h"

#include <util_filter.h>

typedef struct mod_relay_upload {
    request_rec *r;
    mod_relay_request *rr;
    apr_time_t moved; /* when something of the body came last */
    apr_interval_time_t waited;
    apr_off_t bytes;
    ap_filter_t *reqtimeout;
    ap_filter_rec_t *reqtimeout_rec; /* what that filter is, when it is in use */
} upload;

/* All pauses together are no longer than `Timeout', but for a body that moves at this pace. */
#define BYTES_PER_SECOND 500

static ap_filter_rec_t *body_filter, *pass_filter;

static apr_status_t pass(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                         apr_read_type_e block, apr_off_t readbytes)
{
    return ap_get_brigade(f->next, bb, mode, block, readbytes);
}

static apr_interval_time_t limit_of(const upload *u)
{
    return mod_relay_patience_is_endless(u->rr) ? u->rr->server->stream_timeout
                                                : u->r->server->timeout;
}

/* A read that blocks ends by `Timeout'. mod_proxy_http2 asks again and again whether anything has
 * come. */
static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    apr_time_t before = relay_clock();
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    upload *u = f->ctx;

    if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        apr_off_t length = 0;

        apr_brigade_length(bb, 0, &length);
        u->bytes += length > 0 ? length : 0;
        u->moved = relay_clock();
        u->waited += u->moved - before;
        if (u->waited <= limit_of(u) + apr_time_from_sec(u->bytes / BYTES_PER_SECOND))
            return APR_SUCCESS;
        apr_brigade_cleanup(bb);
        u->rr->stalled = limit_of(u);
        rv = APR_TIMEUP;
    }
    else if (APR_STATUS_IS_TIMEUP(rv))
        u->rr->stalled = u->r->server->timeout;
    else if ((rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv)) &&
             relay_clock() - u->moved > limit_of(u)) {
        u->rr->stalled = limit_of(u);
        rv = APR_TIMEUP;
    }
    return rv;
}

void mod_relay_upload_begin(request_rec *r, mod_relay_request *rr)
{
    ap_filter_t *f;
    upload *u;

    if (!ap_request_has_body(r))
        return;
    u = rr->upload = apr_pcalloc(r->pool, sizeof(*u));
    u->r = r;
    u->rr = rr;
    u->moved = relay_clock();
    for (f = r->input_filters; f && ap_cstr_casecmp(f->frec->name, "reqtimeout"); f = f->next)
        ;
    if (f) {
        u->reqtimeout = f;
        u->reqtimeout_rec = f->frec;
        f->frec = pass_filter;
    }
    ap_add_input_filter_handle(body_filter, u, r, r->connection);
}

void mod_relay_upload_end(mod_relay_request *rr)
{
    upload *u = rr->upload;

    if (u && u->reqtimeout)
        u->reqtimeout->frec = u->reqtimeout_rec;
    rr->upload = NULL;
}

void mod_relay_upload_register_hooks(apr_pool_t *p)
{
    /* Below httpd's own filter for bodies, and so none that changes the body: mod_proxy_http keeps
     * a body's length only where there is none. */
    body_filter = ap_register_input_filter("RELAY_UPLOAD", on_read, NULL, AP_FTYPE_PROTOCOL + 1);
    pass_filter = ap_register_input_filter("RELAY_UPLOAD_PASS", pass, NULL, AP_FTYPE_CONNECTION);
}
