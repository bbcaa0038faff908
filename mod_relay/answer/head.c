/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy_http gets the head of an answer as forgive.c leaves it. It would itself end an answer
 * with 502 for one bad line, take `http/1.1 200 OK' for the body of HTTP/0.9, and pass a line on
 * that no visitor gets, since ap_http_header_filter() ends the answer at it.
 *
 * mod_proxy_http bounds the length of each field (ResponseFieldSize) but not the number of fields
 * (ap_proxy_read_headers()), and keeps all of them in memory. A device that sends fields without
 * end, or interim answers full of them, would use up httpd's memory, and end everybody's service.
 * mod_proxy also looks each word of Connection up among all fields (ap_proxy_clear_connection()).
 * So the words and the fields have a bound each.
 *
 * A larger ResponseFieldSize would be cleared for each request. Fields that are longer than the
 * default go round mod_proxy instead: answer.c puts them back.
 *
 * mod_proxy_http reads the head in lines, and peeks (AP_MODE_SPECULATIVE) behind each for one that
 * belongs to it. That is done here already, for the field has to be judged as a whole. A peek would
 * cost as much as a line, so the next line is read instead, and kept.
 */

#include "head.h"
#include "chunks.h"
#include "forgive.h"
#include "hooks.h"
#include "request/request.h"

#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <mod_proxy.h>
#include <util_filter.h>

typedef struct head {
    mod_relay_request *rr;
    request_rec *visitor;
    mod_relay_framing framing;
    apr_off_t seen;
    apr_off_t connection; /* of that, in Connection fields */
    int lines;
    enum { STATUS, FIELDS, BARE_TYPE, BARE_END, BODY } phase;
    /* the line, without its end: in the brigade that it came in, or in text */
    const char *line;
    apr_size_t length;
    int folded;
    char *text;
    apr_size_t have, room;
    apr_size_t end;            /* of the text, with the line's end */
    apr_bucket_brigade *ahead; /* the next line, or its beginning, where it has been read */
    apr_status_t ahead_rv;     /* of reading that */
    apr_bucket_brigade *held;  /* where there is no head: the beginning of the body */
    int dropped;
    const char *first; /* why the first of them was */
} head;

static ap_filter_rec_t *head_filter;

/* Devices send some twenty fields, and a word or two in Connection. */
#define LINES_MAX MOD_RELAY_FIELDS_MAX
#define CONNECTION_MAX 4096
/* mod_proxy_http has room for 8192 bytes. */
#define LONG_FIELD 8000
#define BLANK_LINES_MAX 16

/* The answer cannot be used. */
static apr_status_t fail(head *h, apr_bucket_brigade *bb, const char *why)
{
    apr_brigade_cleanup(bb);
    h->rr->fault = why;
    return APR_EGENERAL;
}

static apr_status_t cut_off(head *h, apr_bucket_brigade *bb, const char *much)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, h->visitor,
                  "RLY132 tunnel %s: its device's answer has a head of more than "
                  "%s and is cut off",
                  h->rr->route.tunnel, much);
    return fail(h, bb, "its head is too large");
}

/* ---- one line */

/* Counts one more. @return NULL, or the bound that is exceeded */
static const char *too_much(head *h)
{
    h->lines++;
    return h->seen > MOD_RELAY_HEAD_MAX     ? "256 kB"
           : h->connection > CONNECTION_MAX ? "4 kB of Connection"
           : h->lines > LINES_MAX           ? "500 lines"
           : h->have > MOD_RELAY_FIELD_MAX  ? "64 kB in one field"
                                            : NULL;
}

/* Adds what is in bb to the text. */
static apr_status_t add_text(head *h, apr_bucket_brigade *bb, apr_size_t length)
{
    if (h->have + length > h->room) {
        char *more = apr_palloc(h->visitor->pool, h->room = 2 * (h->have + length));

        if (h->have)
            memcpy(more, h->text, h->have);
        h->text = more;
    }
    apr_brigade_flatten(bb, h->text + h->have, &length);
    h->have += length;
    return apr_brigade_cleanup(bb);
}

static apr_size_t without_end(const char *line, apr_size_t length)
{
    if (length && line[length - 1] == '\n')
        length--;
    return length && line[length - 1] == '\r' ? length - 1 : length;
}

/* A line that came as one bucket stays where it is. @return 0: it did not */
static int stays(head *h, apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    const char *data;
    apr_size_t length;

    if (APR_BRIGADE_EMPTY(bb) || b != APR_BRIGADE_LAST(bb) || APR_BUCKET_IS_METADATA(b) ||
        /* mod_ssl overwrites what it gave when more is read. */
        apr_bucket_setaside(b, h->visitor->pool) != APR_SUCCESS ||
        apr_bucket_read(b, &data, &length, APR_BLOCK_READ) != APR_SUCCESS || !length ||
        data[length - 1] != '\n')
        return 0;
    h->seen += (apr_off_t)length;
    h->line = data;
    h->length = without_end(data, length);
    return 1;
}

/* The rest of a line, which may come in pieces, behind the text. */
static apr_status_t read_rest(ap_filter_t *f, head *h, apr_bucket_brigade *bb)
{
    do {
        apr_off_t length = 0;
        apr_status_t rv = APR_SUCCESS;

        if (APR_BRIGADE_EMPTY(bb))
            rv = ap_get_brigade(f->next, bb, AP_MODE_GETLINE, APR_BLOCK_READ, 0);
        if (rv != APR_SUCCESS)
            return rv;
        apr_brigade_length(bb, 1, &length);
        if (!length)
            return APR_EOF;
        h->seen += length;
        add_text(h, bb, (apr_size_t)length);
        if (h->have > MOD_RELAY_FIELD_MAX || h->seen > MOD_RELAY_HEAD_MAX)
            break;
    } while (h->text[h->have - 1] != '\n' &&
             (h->phase != STATUS || mod_relay_forgive_has_status(h->text, h->have)));
    h->end = h->have;
    h->have = without_end(h->text, h->have);
    h->line = h->text;
    h->length = h->have;
    return APR_SUCCESS;
}

/* Does the line that follows continue this one? It is read for that. */
static int continues(ap_filter_t *f, head *h)
{
    apr_bucket *b;
    const char *data;
    apr_size_t length;

    h->ahead_rv = ap_get_brigade(f->next, h->ahead, AP_MODE_GETLINE, APR_BLOCK_READ, 0);
    b = APR_BRIGADE_FIRST(h->ahead);
    return h->ahead_rv == APR_SUCCESS && b != APR_BRIGADE_SENTINEL(h->ahead) &&
           !APR_BUCKET_IS_METADATA(b) &&
           apr_bucket_read(b, &data, &length, APR_BLOCK_READ) == APR_SUCCESS && length &&
           (*data == ' ' || *data == '\t');
}

/* The next line, or its beginning, as it comes. */
static apr_status_t read_line(ap_filter_t *f, head *h, apr_bucket_brigade *bb)
{
    apr_status_t rv = h->ahead_rv;

    h->ahead_rv = APR_SUCCESS;
    if (rv != APR_SUCCESS || APR_BRIGADE_EMPTY(h->ahead))
        return rv != APR_SUCCESS ? rv
                                 : ap_get_brigade(f->next, bb, AP_MODE_GETLINE, APR_BLOCK_READ, 0);
    APR_BRIGADE_CONCAT(bb, h->ahead);
    return APR_SUCCESS;
}

static int is_connection(const head *h)
{
    static const char name[] = "Connection:";

    return h->length >= sizeof(name) - 1 && h->line[sizeof(name) - 2] == ':' &&
           ap_cstr_casecmpn(h->line, name, sizeof(name) - 1) == 0;
}

/*
 * The next line, and with a field the lines that continue it.
 * @return APR_EGENERAL where the answer cannot be used
 */
static apr_status_t next_line(ap_filter_t *f, head *h, apr_bucket_brigade *bb)
{
    apr_status_t rv = read_line(f, h, bb);
    const char *much;
    apr_size_t begin;

    if (rv != APR_SUCCESS)
        return rv;
    h->have = 0;
    if (!stays(h, bb) && (rv = read_rest(f, h, bb)) != APR_SUCCESS)
        return rv;
    h->folded = 0;
    h->connection += is_connection(h) ? (apr_off_t)h->length : 0;
    if ((much = too_much(h)) != NULL)
        return cut_off(h, bb, much);
    while (h->phase == FIELDS && h->length && continues(f, h)) {
        if (h->line != h->text)
            add_text(h, bb, h->length);
        h->folded = 1;
        begin = h->have;
        APR_BRIGADE_CONCAT(bb, h->ahead);
        if ((rv = read_rest(f, h, bb)) != APR_SUCCESS)
            return rv;
        h->connection += is_connection(h) ? (apr_off_t)(h->have - begin) : 0;
        if ((much = too_much(h)) != NULL)
            return cut_off(h, bb, much);
        if (mod_relay_forgive_may_frame(h->text + begin, h->have - begin) &&
            memchr(h->text + begin, ':', h->have - begin))
            return fail(h, bb,
                        "a continued line that could be Content-Length or "
                        "Transfer-Encoding");
    }
    return APR_SUCCESS;
}

/* ---- what goes on to mod_proxy_http */

static apr_status_t say(apr_bucket_brigade *bb, const char *line, apr_size_t length)
{
    apr_brigade_cleanup(bb);
    apr_brigade_write(bb, NULL, NULL, line, length);
    return apr_brigade_write(bb, NULL, NULL, "\r\n", 2);
}

/* A field that is too long for mod_proxy goes round it. */
static void put_aside(head *h)
{
    /* What mod_proxy itself reads is never so long. */
    static const char *const own[] = {
        "Connection",    "Content-Type",       "Date", "Expires", "Keep-Alive",
        "Last-Modified", "Proxy-Authenticate", "TE",   "Trailer", "Upgrade"};
    apr_pool_t *p = h->visitor->pool;
    const char *end = h->line + h->length, *colon = memchr(h->line, ':', h->length);
    char *name = apr_pstrmemdup(p, h->line, (apr_size_t)(colon - h->line));
    unsigned i;

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (ap_cstr_casecmp(name, own[i]) == 0) {
            h->first = h->dropped++ ? h->first : "a length of more than 8 kB";
            return;
        }
    if (h->framing.status < 200) /* an interim answer has gone when they would be put back */
        return;
    do
        colon++;
    while (colon < end && (*colon == ' ' || *colon == '\t'));
    while (end > colon && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (!h->rr->long_fields)
        h->rr->long_fields = apr_table_make(p, 2);
    apr_table_addn(h->rr->long_fields, name, apr_pstrmemdup(p, colon, (apr_size_t)(end - colon)));
}

static void head_ends(ap_filter_t *f, head *h)
{
    if (h->framing.status < 200 && h->framing.status != HTTP_SWITCHING_PROTOCOLS) {
        memset(&h->framing, 0, sizeof(h->framing));
        h->phase = STATUS;
        return;
    }
    if (h->dropped)
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, h->visitor,
                      "RLY137 tunnel %s: its device's answer has %d bad header line%s (the first "
                      "has %s), left out",
                      h->rr->route.tunnel, h->dropped, h->dropped > 1 ? "s" : "", h->first);
    if (h->framing.chunked)
        mod_relay_chunks_follow(f->r);
    h->phase = BODY;
}

/* There is no head, but a body: one is made. */
static apr_status_t bare(head *h, apr_bucket_brigade *bb)
{
    switch (h->phase) {
    case STATUS:
        h->phase = BARE_TYPE;
        h->held = apr_brigade_create(h->visitor->pool, bb->bucket_alloc);
        if (h->line == h->text)
            apr_brigade_write(h->held, NULL, NULL, h->text, h->end);
        else
            APR_BRIGADE_CONCAT(h->held, bb);
        return say(bb, "HTTP/1.0 200 OK", sizeof("HTTP/1.0 200 OK") - 1);
    case BARE_TYPE:
        h->phase = BARE_END;
        return say(bb, "Content-Type: text/html", sizeof("Content-Type: text/html") - 1);
    default:
        h->phase = BODY;
        return say(bb, "", 0);
    }
}

/* The next line that goes on, in bb. */
static apr_status_t next_good(ap_filter_t *f, head *h, apr_bucket_brigade *bb)
{
    char made[MOD_RELAY_LINE_MADE];
    const char *why = NULL;
    apr_status_t rv;

    if (h->phase > FIELDS)
        return bare(h, bb);
    while ((rv = next_line(f, h, bb)) == APR_SUCCESS) {
        int was = h->phase;

        if (h->length) {
            switch (was == STATUS
                        ? mod_relay_forgive_status(&h->framing, h->line, h->length, made, &why)
                        : mod_relay_forgive_field(&h->framing, h->line, h->length, h->folded, made,
                                                  &why)) {
            case MOD_RELAY_LINE_KEEP:
                h->phase = FIELDS;
                if (was == FIELDS && h->length > LONG_FIELD) {
                    put_aside(h);
                    break;
                }
                return h->line == h->text ? say(bb, h->text, h->length) : APR_SUCCESS;
            case MOD_RELAY_LINE_CHANGE:
                h->phase = FIELDS;
                return say(bb, made, strlen(made));
            case MOD_RELAY_LINE_BODY:
                return bare(h, bb);
            case MOD_RELAY_LINE_FAULT:
                return fail(h, bb, why);
            case MOD_RELAY_LINE_DROP:
                h->first = h->dropped++ ? h->first : why;
                break;
            case MOD_RELAY_LINE_SKIP:
                break;
            }
        }
        else if (was == FIELDS) {
            head_ends(f, h);
            return h->line == h->text ? say(bb, "", 0) : APR_SUCCESS;
        }
        else if (h->lines > BLANK_LINES_MAX)
            return fail(h, bb, "blank lines and no status line");
        apr_brigade_cleanup(bb);
    }
    return rv;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    head *h = f->ctx;

    if (h->phase != BODY && mode == AP_MODE_GETLINE)
        return next_good(f, h, bb);
    /* Does the next line continue this one? It has been joined already. */
    if (h->phase != BODY && mode == AP_MODE_SPECULATIVE)
        return APR_SUCCESS;
    /* Only now: httpd would lose HTTP_IN if no filter of its type stood above those of others. */
    if (mode == AP_MODE_READBYTES)
        ap_remove_input_filter(f);
    if (mode == AP_MODE_READBYTES && h->held) {
        APR_BRIGADE_CONCAT(bb, h->held);
        return APR_SUCCESS;
    }
    return ap_get_brigade(f->next, bb, mode, block, readbytes);
}

/* mod_proxy_http is about to read an answer; pr is its own request on the device's connection. */
static int create_req(request_rec *r, request_rec *pr)
{
    mod_relay_request *rr = mod_relay_request_of(r);
    head *h;

    if (!rr || rr->answer >= 0)
        return DECLINED;
    rr->fault = NULL;
    rr->long_fields = NULL;
    h = apr_pcalloc(pr->pool, sizeof(*h));
    h->rr = rr;
    h->visitor = r;
    h->ahead = apr_brigade_create(pr->pool, pr->connection->bucket_alloc);
    ap_add_input_filter_handle(head_filter, h, pr, pr->connection);
    return OK;
}

void mod_relay_head_register_hooks(apr_pool_t *p)
{
    head_filter = ap_register_input_filter("RELAY_HEAD", on_read, NULL, AP_FTYPE_PROTOCOL);
    APR_OPTIONAL_HOOK(proxy, create_req, create_req, NULL, NULL, APR_HOOK_MIDDLE);
}
