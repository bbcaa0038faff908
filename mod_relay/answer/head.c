/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy_http bounds the length of each field (ResponseFieldSize) but not the number of fields
 * (ap_proxy_read_headers()), and keeps all of them in memory. A device that sends fields without
 * end, or interim answers full of them, would use up httpd's memory, and end everybody's service.
 *
 * mod_proxy also looks each word of Connection up among all fields (ap_proxy_clear_connection()).
 * So the words and the fields have a bound each.
 *
 * mod_proxy_http reads the head in lines. The first read of another kind is the body's and ends the
 * counting.
 */

#include "head.h"
#include "hooks.h"
#include "request/request.h"

#include <apr_optional_hooks.h>
#include <mod_proxy.h>
#include <util_filter.h>

typedef struct head {
    const char *tunnel;
    request_rec *visitor;
    apr_off_t seen;
    apr_off_t connection; /* of that, in Connection fields */
    int lines;
    int in_connection; /* the last line was of such a field */
} head;

static ap_filter_rec_t *head_filter;

/* Devices send some twenty fields, and a word or two in Connection. */
#define LINES_MAX MOD_RELAY_FIELDS_MAX
#define CONNECTION_MAX 4096

/* Counts one more line. @return NULL, or the bound that is exceeded */
static const char *too_much(head *h, apr_bucket_brigade *bb, apr_off_t length)
{
    char begin[sizeof("Connection") - 1] = "";
    apr_size_t have = sizeof(begin);

    apr_brigade_flatten(bb, begin, &have);
    if (have && *begin != ' ' && *begin != '\t') /* else the line belongs to the last field */
        h->in_connection =
            have == sizeof(begin) && ap_cstr_casecmpn(begin, "Connection", sizeof(begin)) == 0;
    h->seen += length;
    h->connection += h->in_connection ? length : 0;
    h->lines++;
    return h->seen > MOD_RELAY_HEAD_MAX     ? "256 kB"
           : h->connection > CONNECTION_MAX ? "4 kB of Connection"
           : h->lines > LINES_MAX           ? "500 lines"
                                            : NULL;
}

static apr_status_t on_read(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    head *h = f->ctx;
    apr_off_t length = 0;
    const char *much;

    if (mode != AP_MODE_GETLINE) {
        /* mod_proxy_http peeks (AP_MODE_SPECULATIVE) for a line that belongs to the last field. */
        if (mode == AP_MODE_READBYTES)
            ap_remove_input_filter(f);
        return rv;
    }
    if (rv != APR_SUCCESS)
        return rv;
    apr_brigade_length(bb, 0, &length);
    if ((much = too_much(h, bb, length)) == NULL)
        return APR_SUCCESS;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, h->visitor,
                  "RLY132 tunnel %s: its device's answer has a head of more than "
                  "%s and is cut off",
                  h->tunnel, much);
    apr_brigade_cleanup(bb);
    return APR_EGENERAL;
}

/* mod_proxy_http is about to read an answer; pr is its own request on the device's connection. */
static int create_req(request_rec *r, request_rec *pr)
{
    const mod_relay_request *rr = mod_relay_request_of(r);
    head *h;

    if (!rr || rr->answer >= 0)
        return DECLINED;
    h = apr_pcalloc(pr->pool, sizeof(*h));
    h->tunnel = rr->route.tunnel;
    h->visitor = r;
    ap_add_input_filter_handle(head_filter, h, pr, pr->connection);
    return OK;
}

void mod_relay_head_register_hooks(apr_pool_t *p)
{
    head_filter = ap_register_input_filter("RELAY_HEAD", on_read, NULL, AP_FTYPE_PROTOCOL);
    APR_OPTIONAL_HOOK(proxy, create_req, create_req, NULL, NULL, APR_HOOK_MIDDLE);
}
