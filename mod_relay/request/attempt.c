/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * One attempt at a device, and when it may be repeated. A pooled connection can be closed by the
 * device at the very moment when a request is sent on it; over a slow line that moment lasts as
 * long as the line is.
 *
 * Where reading the answer fails, mod_proxy_http closes the visitor's connection without a word if
 * it has served a request before (ap_proxy_http_process_response(), AH01104), so that the browser
 * tries again. Here that is better known: a safe request is repeated once on a connection of its
 * own, and who cannot be helped gets a page. So c->keepalives, by which mod_proxy_http decides, is
 * 0 until the answer has begun.
 */

#include "mod_relay.h"

#include <mod_proxy.h>
#include <util_filter.h>

/* After this long without a request a pooled connection is not trusted with one that cannot be
 * repeated. */
#define TRUSTED_FOR apr_time_from_sec(1)
/* mod_proxy_http's way to ask for a new connection; it looks at this where c->keepalives is 0. */
#define NOT_POOLED "proxy-initial-not-pooled"

static ap_filter_rec_t *answer_filter;

static void show_keepalives(conn_rec *c, mod_relay_request *rr)
{
    if (rr->keepalives_hidden)
        c->keepalives = rr->keepalives;
    rr->keepalives_hidden = 0;
}

/* The answer has begun: from here on the count matters, for MaxKeepAliveRequests. */
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
        /* A visitor's own pool has no other connection than the one that failed; a login needs the
         * new one to stay. */
        if (!rr->pinned)
            apr_table_setn(r->subprocess_env, NOT_POOLED, "1");
        r->status_line = NULL;
        *status = proxy_run_scheme_handler(r, rr->worker, rr->proxy, r->filename + strlen("proxy:"),
                                           NULL, 0);
    }
    /*
     * mod_proxy_http2 does not see that an idle connection was closed if the device has said
     * good-bye before. When a service is restarted each pooled connection would cost a call.
     */
    if (*status != OK && *status != DONE && strcmp(rr->route.scheme, "h2c") == 0)
        mod_relay_backend_retire(rr->backend);
    show_keepalives(r->connection, rr);
    mod_relay_answer_end(r, rr);
    mod_relay_secrets_show(r, rr);
}

void mod_relay_attempt_register_hooks(apr_pool_t *p)
{
    answer_filter =
        ap_register_output_filter("RELAY_ANSWER", on_answer, NULL, AP_FTYPE_CONTENT_SET);
}
