/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Over HTTP/2 (h2c:// services) mod_proxy_http2 keeps all fields, those of interim answers (103) as
 * well, and libnghttp2 unpacks whatever comes: 20 kB that named one field of 4 kB again and again
 * took 277 MB. This filter follows the frames on a device's connection, by their lengths only, and
 * adds up the fields of one stream, packed and unpacked. What does not begin with a SETTINGS frame
 * ends with libnghttp2's error.
 */

#include "head_h2.h"
#include "directives.h"
#include "head.h"
#include "hooks.h"

#include <http_connection.h>
#include <util_filter.h>

static ap_filter_rec_t *frames_filter;

static apr_status_t on_read(ap_filter_t *filter, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    mod_relay_frames *f = filter->ctx;
    apr_status_t rv;
    apr_bucket *b;

    /* After an error mod_proxy_http2 sends GOAWAY, and reads on until the other side ends the
     * connection. */
    if (f->seen > MOD_RELAY_HEAD_MAX)
        return APR_EGENERAL;
    rv = ap_get_brigade(filter->next, bb, mode, block, readbytes);
    /* Otherwise mod_proxy looks whether a pooled connection is still there. */
    if (rv != APR_SUCCESS || mode != AP_MODE_READBYTES)
        return rv;
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t length;

        if (APR_BUCKET_IS_METADATA(b))
            continue;
        if ((rv = apr_bucket_read(b, &data, &length, APR_BLOCK_READ)) != APR_SUCCESS)
            return rv;
        if (mod_relay_frames_follow(f, data, length, MOD_RELAY_HEAD_MAX))
            continue;
        ap_log_cerror(APLOG_MARK, APLOG_INFO, 0, filter->c,
                      "RLY133 a device's answer over HTTP/2 has a head of more than "
                      "%d kB, or %d fields, and is cut off",
                      MOD_RELAY_HEAD_MAX / 1024, MOD_RELAY_FIELDS_MAX);
        apr_brigade_cleanup(bb);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

const mod_relay_frames *mod_relay_head_h2_follow(conn_rec *c)
{
    mod_relay_frames *f = apr_pcalloc(c->pool, sizeof(*f));

    ap_add_input_filter_handle(frames_filter, f, NULL, c);
    return f;
}

void mod_relay_head_h2_register_hooks(apr_pool_t *p)
{
    frames_filter = ap_register_input_filter("RELAY_HEAD_H2", on_read, NULL, AP_FTYPE_CONNECTION);
}
