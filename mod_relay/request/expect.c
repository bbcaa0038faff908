/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy_http hands `Expect: 100-continue' on and waits for the device's 100 before it sends the
 * body. A device that does not know the field waits for the body meanwhile. RFC 9110 (10.1.1) has
 * clients wait for a limited time only, and so does this filter: where the device has said nothing
 * for a second, it says 100 in its stead.
 *
 * mod_proxy_http2 can wait for ever on a new connection, even though the device says 100. There the
 * visitor is told to go on before the device is asked.
 */

#include "expect.h"
#include "hooks.h"

#include <apr_optional_hooks.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <mod_proxy.h>
#include <poll.h>
#include <util_filter.h>

#define PATIENCE apr_time_from_sec(1)
/* What wakes without a byte for us is TLS's own, or the end of the connection. */
#define WAKES_MAX 4

typedef struct expect {
    int over;         /* the device speaks, or need not */
    const char *rest; /* of the 100 that is said in its stead */
} expect;

static ap_filter_rec_t *filter;

/* Is there anything to be read, be it the connection's end? */
static int has_said(ap_filter_t *f)
{
    apr_bucket_brigade *bb = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    apr_status_t rv = ap_get_brigade(f->next, bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);
    int said = rv == APR_SUCCESS ? !APR_BRIGADE_EMPTY(bb) : !APR_STATUS_IS_EAGAIN(rv);

    apr_brigade_destroy(bb);
    return said;
}

static int says_in_time(ap_filter_t *f)
{
    apr_time_t until = relay_clock() + PATIENCE, now;
    struct pollfd device = {.events = POLLIN};
    apr_os_sock_t fd;
    int wakes;

    if (apr_os_sock_get(&fd, ap_get_conn_socket(f->c)) != APR_SUCCESS)
        return 1;
    device.fd = fd;
    for (wakes = 0; wakes < WAKES_MAX && !has_said(f); wakes++)
        if ((now = relay_clock()) >= until ||
            poll(&device, 1, (int)((until - now + 999) / 1000)) <= 0)
            return 0;
    return 1;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    expect *e = f->ctx;

    if (!e->over && !e->rest) {
        if (block == APR_BLOCK_READ && !says_in_time(f))
            e->rest = "HTTP/1.1 100 Continue" CRLF CRLF;
        e->over = 1;
    }
    if (!e->rest || !*e->rest) {
        /* Now: ap_add_input_filter() would put HTTP_IN, which knows where the answer ends, before
         * this filter, and r->input_filters would not begin with it. */
        if (e->over)
            ap_remove_input_filter(f);
    }
    else if (mode == AP_MODE_GETLINE || mode == AP_MODE_READBYTES) {
        apr_size_t length = mode == AP_MODE_GETLINE
                                ? (apr_size_t)(strchr(e->rest, '\n') - e->rest) + 1
                                : strlen(e->rest);

        APR_BRIGADE_INSERT_TAIL(bb,
                                apr_bucket_immortal_create(e->rest, length, f->c->bucket_alloc));
        e->rest += length;
        return APR_SUCCESS;
    }
    return ap_get_brigade(f->next, bb, mode, block, readbytes);
}

/* mod_proxy_http is about to read an answer; pr is its own request on the device's connection. */
static int create_req(request_rec *r, request_rec *pr)
{
    const mod_relay_request *rr = mod_relay_request_of(r);

    /* Without a body nobody waits. */
    if (!rr || rr->answer >= 0 || !rr->upload || !apr_table_get(r->notes, "proxy-100-continue"))
        return DECLINED;
    ap_add_input_filter_handle(filter, apr_pcalloc(pr->pool, sizeof(expect)), pr, pr->connection);
    return OK;
}

void mod_relay_expect_begin(request_rec *r, const mod_relay_request *rr)
{
    const char *status_line = r->status_line;
    int status = r->status;

    if (!r->expecting_100 || strcmp(rr->route.scheme, "h2c"))
        return;
    r->status = HTTP_CONTINUE;
    r->status_line = NULL;
    ap_send_interim_response(r, 0);
    r->status = status;
    r->status_line = status_line;
    apr_table_unset(r->headers_in, "Expect");
}

void mod_relay_expect_register_hooks(apr_pool_t *p)
{
    /* Below head.c's filter, which counts the 100 as well. */
    filter = ap_register_input_filter("RELAY_EXPECT", on_read, NULL, AP_FTYPE_PROTOCOL + 1);
    APR_OPTIONAL_HOOK(proxy, create_req, create_req, NULL, NULL, APR_HOOK_MIDDLE);
}
