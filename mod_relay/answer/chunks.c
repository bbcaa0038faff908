/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * httpd's reader (HTTP_IN, ap_http_filter()) asks for a chunk's data by number of bytes, and for
 * all that stands between in lines. So a filter right below it sees which bytes are lines without
 * following the chunks itself, and data pass by untouched.
 */

#include "chunks.h"
#include "forgive.h"
#include "hooks.h"

#include <util_filter.h>

/* Bytes of all trailers. */
#define TRAILERS_MAX 65536

typedef struct chunks {
    enum { SIZES, TRAILERS } phase;     /* trailers begin behind the chunk of size 0 */
    enum { BEGINS, ZEROS, OTHER } line; /* what has come of a line with a size */
    char last;                          /* the last byte of a line that comes in pieces */
    int begun;                          /* the next piece is the beginning of a trailer */
    apr_size_t seen;                    /* bytes of trailers */
} chunks;

static ap_filter_rec_t *chunks_filter;

/* A line ends with CR LF for httpd. */
static void end_properly(chunks *c, apr_bucket *b, const char *data, apr_size_t length)
{
    char before = length > 1 ? data[length - 2] : c->last;

    if (before == '\r')
        return;
    if (length > 1) {
        apr_bucket_split(b, length - 1);
        b = APR_BUCKET_NEXT(b);
    }
    APR_BUCKET_INSERT_BEFORE(b, apr_bucket_immortal_create("\r", 1, b->list));
}

/* The last chunk has the size 0, in as many digits as one likes. */
static void follow_size(chunks *c, const char *data, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < length && c->line != OTHER; i++) {
        if (data[i] == '0')
            c->line = ZEROS;
        else if (c->line == BEGINS || !strchr(" \t;\r\n", data[i]) || !data[i])
            c->line = OTHER;
        else
            break;
    }
    if (data[length - 1] == '\n') {
        c->phase = c->line == ZEROS ? TRAILERS : SIZES;
        c->line = BEGINS;
    }
}

/* A piece of a line that has a size, or ends a chunk's data. */
static apr_status_t follow_line(chunks *c, apr_bucket_brigade *bb)
{
    apr_bucket *b, *next;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        const char *data;
        apr_size_t length;
        apr_status_t rv;

        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_METADATA(b))
            continue;
        if ((rv = apr_bucket_read(b, &data, &length, APR_BLOCK_READ)) != APR_SUCCESS)
            return rv;
        if (!length)
            continue;
        follow_size(c, data, length);
        if (data[length - 1] == '\n')
            end_properly(c, b, data, length);
        c->last = data[length - 1];
    }
    return APR_SUCCESS;
}

/* ---- trailers */

/* A line without its end. */
static int is_good_trailer(const char *line, apr_size_t length)
{
    mod_relay_framing framing = {0};
    char made[MOD_RELAY_LINE_MADE];
    const char *why;

    return mod_relay_forgive_field(&framing, line, length, 0, made, &why) == MOD_RELAY_LINE_KEEP &&
           !framing.chunked && !framing.sized;
}

static apr_status_t say(apr_bucket_brigade *bb, const char *line, apr_size_t length)
{
    apr_brigade_cleanup(bb);
    apr_brigade_write(bb, NULL, NULL, line, length);
    return apr_brigade_write(bb, NULL, NULL, "\r\n", 2);
}

/* The next line of the trailers that goes on. Their end may be that of the connection. */
static apr_status_t read_trailer(ap_filter_t *f, chunks *c, apr_bucket_brigade *bb)
{
    for (;;) {
        apr_status_t rv = ap_get_brigade(f->next, bb, AP_MODE_GETLINE, APR_BLOCK_READ, 0);
        char line[HUGE_STRING_LEN];
        apr_size_t length = sizeof(line);
        int whole;

        if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv))
            return rv;
        if (rv == APR_SUCCESS && (rv = apr_brigade_flatten(bb, line, &length)) != APR_SUCCESS)
            return rv;
        if (APR_STATUS_IS_EOF(rv) || !length)
            return say(bb, "", 0);
        if ((c->seen += length) > TRAILERS_MAX)
            return APR_EGENERAL;
        whole = line[length - 1] == '\n';
        length -= (apr_size_t)whole;
        if (whole && length && line[length - 1] == '\r')
            length--;
        if (whole && c->begun && (!length || is_good_trailer(line, length)))
            return say(bb, line, length);
        c->begun = whole; /* what is longer than httpd reads at once is left out */
        apr_brigade_cleanup(bb);
    }
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    chunks *c = f->ctx;
    apr_status_t rv;

    if (mode == AP_MODE_GETLINE && c->phase == TRAILERS)
        return read_trailer(f, c, bb);
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    return rv == APR_SUCCESS && mode == AP_MODE_GETLINE ? follow_line(c, bb) : rv;
}

void mod_relay_chunks_follow(request_rec *pr)
{
    chunks *c = apr_pcalloc(pr->pool, sizeof(*c));

    c->begun = 1;
    ap_add_input_filter_handle(chunks_filter, c, pr, pr->connection);
}

void mod_relay_chunks_register_hooks(apr_pool_t *p)
{
    /* Below HTTP_IN, which is AP_FTYPE_PROTOCOL. */
    chunks_filter = ap_register_input_filter("RELAY_CHUNKS", on_read, NULL, AP_FTYPE_PROTOCOL + 1);
}
