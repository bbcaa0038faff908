/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy hands interim answers to ap_send_interim_response(). That writes them as text to the
 * filters of the visitor's connection, past all filters of the request, those of mod_headers among
 * them. So this filter is one of the connection's. While a device is being asked and until its
 * final answer begins, data that begin with `HTTP/1.1 1` are an interim answer. It ends with a
 * flush, which is the last thing that ap_send_interim_response() writes.
 *
 * The filter stays for as long as the connection does: requests have pointers into the chain.
 */

#include "interim.h"
#include "connection.h"
#include "hooks.h"
#include "public.h"
#include "request/cookies.h"
#include "request/patience.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <util_filter.h>

#define BEGINS "HTTP/1.1 1"

typedef struct mod_relay_interim {
    request_rec *r;         /* of the request whose device is being asked */
    mod_relay_request *rr;  /* the same one's, or NULL */
    apr_bucket_brigade *bb; /* of an answer that has begun, or NULL */
} interim;

static ap_filter_rec_t *interim_filter;

static int is_token(const char *at, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < length; i++)
        if (!apr_isgraph(at[i]) || strchr("()<>@,;:\\\"/[]?={}", at[i]))
            return 0;
    return length > 0;
}

/* A tab is the only control character that may pass: browsers end a line at a lone CR, too. */
static int is_printable(const char *at, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < length; i++)
        if (((unsigned char)at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f)
            return 0;
    return 1;
}

/*
 * One field, without its line end; the byte after it may be written to.
 * @return what goes on, or NULL
 */
static const char *clean_field(char *line, apr_size_t length, const interim *i)
{
    char *colon = memchr(line, ':', length);
    const char *value, *public;

    if (!colon || !is_token(line, (apr_size_t)(colon - line)) || !is_printable(line, length))
        return NULL;
    line[length] = '\0';
    *colon = '\0';
    if (strcasecmp(line, "Set-Cookie") == 0 &&
        !mod_relay_set_cookie_clean(colon + 1, i->rr->server->hidden_cookies))
        return NULL;
    value = colon + 1;
    public = mod_relay_public_value(i->r, i->rr, line, value);
    if (public != value)
        return apr_pstrcat(i->r->pool, line, ":", public, NULL);
    *colon = ':';
    return line;
}

static char *line_end(char *at, char *end)
{
    char *newline = at;

    while (newline < end &&
           (newline = memchr(newline, '\n', (apr_size_t)(end - newline))) != NULL) {
        if (newline > at && newline[-1] == '\r')
            return newline - 1;
        newline++;
    }
    return NULL;
}

/* All lines of an answer, into bb. */
static apr_status_t clean(apr_bucket_brigade *bb, char *text, apr_size_t length, const interim *i)
{
    char *at = text, *end = text + length, *stop;
    apr_status_t rv = APR_SUCCESS;

    for (; rv == APR_SUCCESS && (stop = line_end(at, end)) != NULL; at = stop + 2) {
        apr_size_t line = (apr_size_t)(stop - at);
        const char *kept = at;

        if (at > text && line) {
            if ((kept = clean_field(at, line, i)) == NULL)
                continue;
            line = strlen(kept);
        }
        if ((rv = apr_brigade_write(bb, NULL, NULL, kept, line)) == APR_SUCCESS)
            rv = apr_brigade_write(bb, NULL, NULL, "\r\n", 2);
    }
    return rv;
}

static apr_status_t send_clean(ap_filter_t *f, interim *i)
{
    apr_bucket_brigade *bb = i->bb;
    apr_size_t length;
    apr_status_t rv;
    char *text;

    i->bb = NULL;
    if ((rv = apr_brigade_pflatten(bb, &text, &length, i->r->pool)) != APR_SUCCESS)
        return rv;
    apr_brigade_cleanup(bb);
    if ((rv = clean(bb, text, length, i)) != APR_SUCCESS)
        return rv;
    /* After 101 comes another protocol. */
    if (length >= sizeof(BEGINS "01") - 1 &&
        memcmp(text, BEGINS "01", sizeof(BEGINS "01") - 1) == 0) {
        mod_relay_patience_upgraded(i->rr);
        i->rr = NULL;
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(f->c->bucket_alloc));
    return ap_pass_brigade(f->next, bb);
}

static int begins(apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    const char *data;
    apr_size_t length;

    /* Over HTTP/2 the head of a final answer is no data, but metadata. */
    return b != APR_BRIGADE_SENTINEL(bb) && APR_BUCKET_IS_HEAP(b) &&
           apr_bucket_read(b, &data, &length, APR_BLOCK_READ) == APR_SUCCESS &&
           length >= sizeof(BEGINS) - 1 && memcmp(data, BEGINS, sizeof(BEGINS) - 1) == 0;
}

static apr_status_t on_write(ap_filter_t *f, apr_bucket_brigade *bb)
{
    interim *i = f->ctx;
    apr_status_t rv;
    apr_bucket *b;
    int ends;

    if (!i->rr || (!i->bb && !begins(bb)))
        return ap_pass_brigade(f->next, bb);
    if (!i->bb)
        i->bb = apr_brigade_create(i->r->pool, f->c->bucket_alloc);
    for (b = APR_BRIGADE_FIRST(bb), ends = 0; b != APR_BRIGADE_SENTINEL(bb) && !ends;
         b = APR_BUCKET_NEXT(b))
        ends = APR_BUCKET_IS_FLUSH(b);
    rv = ap_save_brigade(f, &i->bb, &bb, i->r->pool);
    return rv == APR_SUCCESS && ends ? send_clean(f, i) : rv;
}

void mod_relay_interim_begin(request_rec *r, mod_relay_request *rr)
{
    conn_rec *c = r->connection;
    interim *i = mod_relay_connection_of(c)->interim;

    if (!i) {
        i = mod_relay_connection_of(c)->interim = apr_pcalloc(c->pool, sizeof(*i));
        ap_add_output_filter_handle(interim_filter, i, r, c);
    }
    i->r = r;
    i->rr = rr;
    i->bb = NULL;
    rr->interim = i;
}

void mod_relay_interim_end(mod_relay_request *rr)
{
    if (rr->interim)
        rr->interim->rr = NULL;
    rr->interim = NULL;
}

void mod_relay_interim_register_hooks(apr_pool_t *p)
{
    interim_filter =
        ap_register_output_filter("RELAY_INTERIM", on_write, NULL, AP_FTYPE_CONNECTION);
}
