/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A device can close a pooled connection at the very moment when a request is sent on it. On a slow
 * line that moment lasts for as long as the line takes.
 *
 * If mod_proxy_http cannot read the answer and the visitor's connection has served a request
 * before, it closes that connection without a word, so that the browser tries again
 * (ap_proxy_http_process_response(), AH01104). This file knows better: it repeats a safe request
 * once on a new connection, and all others get a page. mod_proxy_http decides by c->keepalives,
 * which is therefore 0 until the answer has begun.
 */

#include "attempt.h"
#include "backend.h"
#include "hooks.h"
#include "weak_proxy.h"

#include <util_filter.h>

/* A pooled connection that has been unused for longer gets no request that cannot be repeated. */
#define TRUSTED_FOR apr_time_from_sec(1)
/* With this in its environment, and c->keepalives at 0, mod_proxy_http makes a new connection. */
#define NOT_POOLED "proxy-initial-not-pooled"

static ap_filter_rec_t *answer_filter;

static void show_keepalives(conn_rec *c, mod_relay_request *rr)
{
    if (rr->keepalives_hidden)
        c->keepalives = rr->keepalives;
    rr->keepalives_hidden = 0;
}

/* The answer has begun. From here on the count matters, for MaxKeepAliveRequests. */
static apr_status_t on_answer(ap_filter_t *f, apr_bucket_brigade *bb)
{
    show_keepalives(f->c, f->ctx);
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

static int is_repeatable(request_rec *r)
{
    return (r->method_number == M_GET || r->method_number == M_OPTIONS) && !ap_request_has_body(r);
}

void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr, apr_interval_time_t unused)
{
    rr->keepalives = r->connection->keepalives;
    rr->keepalives_hidden = 1;
    r->connection->keepalives = 0;
    ap_add_output_filter_handle(answer_filter, rr, r, r->connection);
    if (unused > TRUSTED_FOR && !is_repeatable(r))
        apr_table_setn(r->subprocess_env, NOT_POOLED, "1");
}

void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status)
{
    if (*status == HTTP_BAD_GATEWAY && rr->pooled && is_repeatable(r) && !r->bytes_sent &&
        !r->eos_sent && !r->connection->aborted) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "RLY131 tunnel %s: trying again on a new connection", rr->route.tunnel);
        /* A visitor's own backend has no other connection than the one that failed, and its new
         * connection has to stay, for the login. */
        if (!rr->pinned)
            apr_table_setn(r->subprocess_env, NOT_POOLED, "1");
        r->status_line = NULL;
        *status = proxy_run_scheme_handler(r, rr->worker, rr->proxy, r->filename + strlen("proxy:"),
                                           NULL, 0);
    }
    /*
     * mod_proxy_http2 does not notice that an idle connection is closed if the device has sent
     * GOAWAY before. After a service's restart each pooled connection would cost a call.
     */
    if (*status != OK && *status != DONE && strcmp(rr->route.scheme, "h2c") == 0)
        mod_relay_backend_retire(rr->backend);
    show_keepalives(r->connection, rr);
}

void mod_relay_attempt_register_hooks(apr_pool_t *p)
{
    answer_filter =
        ap_register_output_filter("RELAY_ANSWER", on_answer, NULL, AP_FTYPE_CONTENT_SET);
}
