/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Small pages, as HTML, JSON or plain text: Accept decides. */

#include "pages.h"
#include "memory.h"
#include "request/patience.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>

#define RETRY_AFTER "5"
#define DROPPED_MAX 65536
/* The longest wait for such a body; a shorter one where the tunnel holds its share of threads. */
#define BODY_PATIENCE apr_time_from_sec(2)
#define BODY_PATIENCE_BUSY apr_time_from_msec(200)
#define BODY_POLL apr_time_from_msec(5)

static const struct page {
    int status;
    const char *code; /* for programs */
    const char *title, *text;
    const char *log;
} pages[] = {
    [MOD_RELAY_UNKNOWN] =
        {404, "unknown", "There is nothing at this address",
         "No tunnel has this name. Check the link for missing or changed characters.",
         "RLY140 unknown name"},
    [MOD_RELAY_GONE] = {410, "gone", "This tunnel has ended",
                        "It was opened for a limited time, which is over. Whoever sent you the "
                        "link can open another.",
                        "RLY141 the tunnel has ended"},
    [MOD_RELAY_OFFLINE] = {503, "offline", "The device is not connected",
                           "The tunnel is open, but the device has not connected, or has lost its "
                           "connection and will try again. Reload the page in a moment.",
                           "RLY142 the device is not connected"},
    [MOD_RELAY_SILENT] = {502, "silent", "The device does not answer",
                          "The device is connected, but its service does not answer. Check that "
                          "the service is running on the device.",
                          "RLY143 the device is connected, but its service does not answer"},
    [MOD_RELAY_GARBLED] = {502, "garbled", "The device's answer cannot be used",
                           "The device is connected, but what its service answers is no valid "
                           "answer to a browser. Reload the page; if this stays, the service has a "
                           "fault, or is not for browsers.",
                           "RLY138 the device's answer cannot be used"},
    [MOD_RELAY_UNAVAILABLE] =
        {503, "unavailable", "The relay cannot look this address up at the moment",
         "This is a fault of the relay, not of the device. Reload the page in a moment.",
         "RLY144 the route cannot be looked up"},
    [MOD_RELAY_NOT_WEB] = {404, "not-web", "This tunnel does not lead to a web page",
                           "The service behind it is not for browsers.",
                           "RLY145 not a web service"},
    [MOD_RELAY_BUSY] =
        {503, "busy", "There are too many requests to this device at once",
         "The device is connected, but as many of its requests are being answered as the relay "
         "lets one device have. Reload the page in a moment.",
         "RLY148 as many requests of this tunnel are under way as RelayTunnelThreads allows"},
    [MOD_RELAY_TLS_OLD] =
        {502, "tls-old", "The device's TLS is too old",
         "The device is connected, but it knows only versions, keys or ciphers of TLS that the "
         "relay does not accept by itself. Whoever opened the tunnel can accept them: rly open "
         "--old-tls.",
         "RLY161 the device's TLS is too old: `rly open --old-tls' or RelayOldTLS accepts it"},
    [MOD_RELAY_TLS_NONE] =
        {502, "tls-none", "The device's service does not speak TLS",
         "The device is connected, but what answers there is not HTTPS. Whoever opened the tunnel "
         "can open the service as http:// instead of https://.",
         "RLY162 the device's service does not speak TLS: open it as http://"},
    [MOD_RELAY_TLS_NAME] =
        {502, "tls-name", "The device does not answer to this name",
         "The device is connected, but its TLS serves other names only. Whoever opened the tunnel "
         "can say which: rly open --host NAME.",
         "RLY163 the device's TLS refuses the name it is sent, and none: `rly open --host NAME'"},
    [MOD_RELAY_TLS_CERTIFICATE] =
        {502, "tls-certificate", "The device asks for a certificate",
         "The device is connected, but its TLS lets in only those who have a certificate that it "
         "knows. The relay can have one: SSLProxyMachineCertificateFile in its virtual host.",
         "RLY164 the device's TLS wants a certificate: SSLProxyMachineCertificateFile"},
    [MOD_RELAY_TLS_FAILED] =
        {502, "tls", "There is no TLS connection with the device",
         "The device is connected, but TLS with its service failed. The relay's log says why.",
         "RLY165 TLS with the device's service failed"},
    [MOD_RELAY_TIMED_OUT] = {504, "timed-out", "The device takes too long", NULL /* text_of() */,
                             "RLY166 the device has not begun its answer in time"},
    [MOD_RELAY_STALLED] = {408, "stalled", "The request did not come whole", NULL /* text_of() */,
                           "RLY167 the visitor has stopped sending"},
    [MOD_RELAY_CROWDED] =
        {503, "crowded", "The device has no connection left",
         "The device is connected, but it takes only a few connections at a time, and others have "
         "had all of them for a while. Close other windows with its pages, then reload this one.",
         "RLY170 the device takes no further connection"},
};

/* ---- Accept */

typedef enum { HTML, JSON, TEXT } form;

static const char *const media_types[] = {
    [HTML] = "text/html", [JSON] = "application/json", [TEXT] = "text/plain"};

/* How well does a media range match a type? 3: exactly; 2: `text/<any>`; 1: any; 0: not. */
static int matches(const char *range, const char *type)
{
    const char *slash = strchr(type, '/');

    if (ap_cstr_casecmp(range, type) == 0)
        return 3;
    if (strcmp(range, "*/*") == 0)
        return 1;
    return ap_cstr_casecmpn(range, type, (apr_size_t)(slash - type) + 1) == 0 &&
                   strcmp(range + (slash - type) + 1, "*") == 0
               ? 2
               : 0;
}

/* A type has the q of the most specific range. In a draw a type that is named wins, and then HTML.
 */
static form preferred(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    double best[3] = {0};
    int how[3] = {0}, f;
    char *item, *state;
    form chosen = HTML;

    if (!accept)
        return HTML;
    for (item = apr_strtok(apr_pstrdup(r->pool, accept), ",", &state); item;
         item = apr_strtok(NULL, ",", &state)) {
        char *params, *range = apr_strtok(item, "; \t", &params), *param;
        double q = 1;

        while (range && (param = apr_strtok(NULL, "; \t", &params)) != NULL)
            if (param[0] == 'q' && param[1] == '=')
                q = strtod(param + 2, NULL);
        for (f = HTML; range && f <= TEXT; f++) {
            int m = matches(range, media_types[f]);

            if (m > how[f] || (m == how[f] && m && q > best[f])) {
                how[f] = m;
                best[f] = q;
            }
        }
    }
    for (f = JSON; f <= TEXT; f++)
        if (best[f] > best[chosen] ||
            (best[f] > 0 && best[f] == best[chosen] && how[f] > how[chosen]))
            chosen = (form)f;
    return chosen;
}

/* ---- pages */

/* As people say it: `10 minutes'. */
static const char *in_words(apr_pool_t *p, apr_interval_time_t span)
{
    apr_int64_t n = (span + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC;
    const char *unit = "second";

    if (n >= 60 && n % 60 == 0) {
        n /= 60;
        unit = "minute";
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s%s", n, unit, n == 1 ? "" : "s");
}

static const char *text_of(request_rec *r, const mod_relay_request *rr, mod_relay_answer answer)
{
    if (answer == MOD_RELAY_STALLED)
        return apr_pstrcat(r->pool, "Nothing more of it, or too little, has come to the relay for ",
                           in_words(r->pool, rr->stalled),
                           ". The device may have got a part of it. Send it again when the "
                           "connection is better.",
                           NULL);
    if (answer != MOD_RELAY_TIMED_OUT)
        return pages[answer].text;
    return apr_pstrcat(r->pool,
                       "The device is connected and has got the request, but its answer has not "
                       "begun within ",
                       in_words(r->pool, rr->timed_out),
                       ". It may still be at work on it: look before you send the request again.",
                       NULL);
}

static const char *html(request_rec *r, const struct page *page, const char *name)
{
    return apr_psprintf(
        r->pool,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta "
        "name=\"robots\" content=\"noindex\">\n"
        "<title>%d %s</title>\n<style>\n"
        ":root{color-scheme:light dark}\n"
        "body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 "
        "1.5rem}\n"
        "h1{font-size:1.5rem;line-height:1.3;margin:0 0 .7rem}\n"
        "p{margin:0 0 .8rem}\n.small{font-size:.9rem;opacity:.65;overflow-wrap:anywhere}\n"
        "</style>\n</head>\n<body>\n<h1>%s</h1>\n<p>%s</p>\n<p class=\"small\">%d &middot; "
        "%s</p>\n</body>\n</html>\n",
        page->status, page->title, page->title, page->text, page->status,
        ap_escape_html(r->pool, name));
}

static const char *body_for(request_rec *r, form f, const struct page *page, const char *name)
{
    switch (f) {
    case JSON:
        /* The name is a valid label; code and texts are our own. Nothing needs escaping. */
        return apr_psprintf(
            r->pool,
            "{\"status\":%d,\"error\":\"%s\",\"name\":\"%s\",\"title\":\"%s\",\"detail\":\"%s\"}\n",
            page->status, page->code, name, page->title, page->text);
    case TEXT:
        return apr_psprintf(r->pool, "%d %s\n%s\n", page->status, page->title, page->text);
    default:
        return html(r, page, name);
    }
}

/* Reads more of a body, if it comes in time. @return 0: there is no more */
static int read_on(request_rec *r, apr_bucket_brigade *bb, apr_time_t until)
{
    for (;;) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_NONBLOCK_READ,
                                         HUGE_STRING_LEN);

        if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb))
            return 1;
        if ((rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) || relay_clock() >= until)
            return 0;
        apr_sleep(BODY_POLL);
    }
}

/*
 * A small body is read, and dropped, before a page is sent. When an answer overtakes the request's
 * body, a stream of HTTP/2 is reset (RFC 9113, 8.1), and some clients take that for an error.
 * Nobody waits for a slow body: each would hold one of mod_http2's workers.
 */
static void drop_small_body(request_rec *r, apr_interval_time_t patience)
{
    apr_time_t until = relay_clock() + patience;
    apr_bucket_brigade *bb;
    apr_off_t total = 0, len;

    if (!r->connection->master || r->expecting_100 || !ap_request_has_body(r))
        return;
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    while (total < DROPPED_MAX && read_on(r, bb, until) && !APR_BRIGADE_EMPTY(bb) &&
           !APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb))) {
        if (apr_brigade_length(bb, 1, &len) != APR_SUCCESS)
            break;
        total += len;
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
}

/* A gRPC client reads no page: it knows the status only by a number in a field. */
static int send_grpc(request_rec *r, const struct page *page)
{
    const char *status = page->status == HTTP_GATEWAY_TIME_OUT ? "4" /* deadline exceeded */
                         : page->status == HTTP_NOT_FOUND || page->status == HTTP_GONE
                             ? "5" /* not found */
                             : "14" /* unavailable */;

    apr_table_clear(r->headers_out);
    r->status = page->status;
    r->status_line = NULL;
    ap_set_content_type(r, "application/grpc");
    apr_table_setn(r->headers_out, "grpc-status", status);
    apr_table_setn(r->headers_out, "grpc-message", page->text);
    ap_set_content_length(r, 0);
    return OK;
}

int mod_relay_page_send(request_rec *r, const mod_relay_request *rr, mod_relay_answer answer)
{
    struct page page = pages[answer];
    const char *body;
    form f;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: name %s%s%s%s%s", page.log,
                  *rr->name ? rr->name : "(invalid)", rr->route.tunnel ? ", tunnel " : "",
                  rr->route.tunnel ? rr->route.tunnel : "", answer == MOD_RELAY_GARBLED ? ": " : "",
                  answer == MOD_RELAY_GARBLED ? rr->fault : "");
    if (answer != MOD_RELAY_STALLED)
        drop_small_body(r, answer == MOD_RELAY_BUSY ? BODY_PATIENCE_BUSY : BODY_PATIENCE);
    mod_relay_memory_ended(r, answer);
    if (page.status == 503)
        apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    page.text = text_of(r, rr, answer);
    if (mod_relay_patience_is_grpc(r))
        return send_grpc(r, &page);
    if (ap_response_code_string(r, ap_index_of_response(page.status)))
        return page.status;

    f = preferred(r);
    apr_table_clear(r->headers_out);
    r->status = page.status;
    r->status_line = NULL;
    r->content_encoding = NULL;
    ap_set_content_type(r, f == HTML   ? "text/html; charset=utf-8"
                           : f == JSON ? "application/json"
                                       : "text/plain; charset=utf-8");
    apr_table_setn(r->headers_out, "Vary", "Accept");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src 'unsafe-inline'");
    body = body_for(r, f, &page, rr->name);
    ap_set_content_length(r, (apr_off_t)strlen(body));
    /* Nobody will read the rest of the body. A new connection is better than swallowing gigabytes.
     * Over HTTP/2 only the stream ends. */
    if (ap_request_has_body(r) && !r->connection->master)
        r->connection->keepalive = AP_CONN_CLOSE;
    if (!r->header_only)
        ap_rputs(body, r);
    return OK;
}
