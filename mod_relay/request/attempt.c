/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A device can close a pooled connection at the very moment when a request is sent on it. On a slow
 * line that moment lasts for as long as the line takes. wire.c knows which requests were lost so.
 *
 * If mod_proxy_http cannot read the answer and the visitor's connection has served a request
 * before, it closes that connection without a word, so that the browser tries again
 * (ap_proxy_http_process_response(), AH01104). The browser would do so whatever has become of the
 * request. This file knows better: it repeats what was lost once, on a new connection, if HTTP lets
 * a proxy repeat it, and all others get a page. mod_proxy_http decides by c->keepalives, which is
 * therefore 0 until the answer has begun (answer.c).
 */

#include "attempt.h"
#include "backend.h"
#include "hooks.h"
#include "places.h"
#include "weak_proxy.h"
#include "wire.h"

/* From here on the count matters, for MaxKeepAliveRequests. */
void mod_relay_attempt_answered(request_rec *r, mod_relay_request *rr)
{
    if (rr->keepalives_hidden)
        r->connection->keepalives = rr->keepalives;
    rr->keepalives_hidden = 0;
}

/* RFC 9110, 9.2.2; a body is gone once it has been sent. HEAD is a GET to httpd. */
static int is_repeatable(request_rec *r)
{
    switch (r->method_number) {
    case M_GET:
    case M_OPTIONS:
    case M_TRACE:
    case M_PUT:
    case M_DELETE:
        return !ap_request_has_body(r);
    default:
        return 0;
    }
}

void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr)
{
    rr->keepalives = r->connection->keepalives;
    rr->keepalives_hidden = 1;
    r->connection->keepalives = 0;
    rr->repeatable = is_repeatable(r);
    rr->host = rr->url ? apr_table_get(r->headers_in, "Host") : NULL;
    rr->anew = 0;
    mod_relay_wire_begin(rr);
}

void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status)
{
    mod_relay_wire_end(rr);
    if (*status == HTTP_BAD_GATEWAY && ((rr->lost && rr->repeatable) || rr->unread) &&
        !r->bytes_sent && !r->eos_sent && !r->connection->aborted) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "RLY131 tunnel %s: trying again on a new connection", rr->route.tunnel);
        rr->anew = 1;
        r->status_line = NULL;
        /* mod_proxy_http2 has taken it, and would name the listen address in its place. */
        if (rr->host)
            apr_table_setn(r->headers_in, "Host", rr->host);
        if ((*status = mod_relay_places_wait(r, rr)) == OK) {
            mod_relay_wire_begin(rr);
            *status = proxy_run_scheme_handler(r, rr->worker, rr->proxy,
                                               r->filename + strlen("proxy:"), NULL, 0);
            mod_relay_wire_end(rr);
        }
    }
    /*
     * mod_proxy_http2 does not notice that an idle connection is closed if the device has sent
     * GOAWAY before. After a service's restart each pooled connection would cost a call.
     */
    if (*status != OK && *status != DONE && strcmp(rr->route.scheme, "h2c") == 0)
        mod_relay_backend_retire(rr->backend);
    mod_relay_attempt_answered(r, rr);
}
