/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * httpd looks the rules for a path (<Location "/admin"> Require …) up by the path as httpd reads
 * it. The device gets the path as it was sent, and reads it in its own way: `/x%2f..%2fadmin`,
 * `/x\..\admin`, `/%252e%252e/admin` and `/admin;x` can all be /admin there. So the visitor needs
 * access by each way in which the path can be read. httpd is asked as for a subrequest, and one
 * refusal is enough.
 */

#include "hooks.h"
#include "request.h"
#include "secrets.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>

/* The rounds in which nested encoding is decoded. ap_process_request_internal() has decoded r->uri
 * once before, and left %2F as it was. */
#define ROUNDS 2

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Decodes in place; a NUL stays encoded. */
static void decode(char *path)
{
    char *to = path;

    for (; *path; path++) {
        if (*path == '%' && apr_isxdigit(path[1]) && apr_isxdigit(path[2]) &&
            (path[1] != '0' || path[2] != '0')) {
            *to++ = (char)(hex(path[1]) * 16 + hex(path[2]));
            path += 2;
        }
        else {
            *to++ = *path;
        }
    }
    *to = '\0';
}

static void cut_parameters(char *path)
{
    char *to = path;

    while (*path) {
        if (*path == ';')
            path += strcspn(path, "/");
        else
            *to++ = *path++;
    }
    *to = '\0';
}

/* The path as a device may read it. merge: parameters are cut and slashes merged, as Java's servers
 * do. */
static const char *other_reading(const char *uri, int merge, apr_pool_t *p)
{
    char *path = apr_pstrdup(p, uri), *at;
    int i;

    for (i = 0; i < ROUNDS; i++)
        decode(path);
    for (at = path; (at = strchr(at, '\\')) != NULL;)
        *at = '/';
    if (merge)
        cut_parameters(path);
    ap_normalize_path(path, merge ? AP_NORMALIZE_MERGE_SLASHES | AP_NORMALIZE_ALLOW_RELATIVE
                                  : AP_NORMALIZE_ALLOW_RELATIVE);
    return path;
}

/* Into r's memory; the subrequest's goes. */
static int copy_field(void *data, const char *name, const char *value)
{
    apr_table_add(data, name, value);
    return 1;
}

static int check(request_rec *r, mod_relay_request *rr, const char *path)
{
    request_rec *sub;
    int status;

    /* A subrequest takes a URI. */
    sub = ap_sub_req_method_uri(r->method, ap_os_escape_path(r->pool, path, 1), r, NULL);
    status = sub->status;
    if (status == HTTP_UNAUTHORIZED)
        apr_table_do(copy_field, r->err_headers_out, sub->err_headers_out, NULL);
    rr->asked |= mod_relay_secrets_asked(sub);
    ap_destroy_sub_req(sub);
    if (status == HTTP_OK)
        return OK;
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r,
        "RLY135 tunnel %s: the path can be read as %s, which this visitor is refused (%d)",
        rr->route.tunnel, path, status);
    return status == HTTP_UNAUTHORIZED ? status : HTTP_FORBIDDEN;
}

/* By fixups httpd has let the visitor see the path as httpd reads it. */
static int fixups(request_rec *r)
{
    mod_relay_request *rr = mod_relay_request_of(r);
    int merge, status = OK;

    if (!rr || rr->answer >= 0 || r->main || !r->uri[strcspn(r->uri, "%\\;")])
        return DECLINED;
    for (merge = 0; merge < 2 && status == OK; merge++) {
        const char *path = other_reading(r->uri, merge, r->pool);

        if (strcmp(path, r->uri))
            status = check(r, rr, path);
    }
    return status == OK ? DECLINED : status;
}

void mod_relay_paths_register_hooks(apr_pool_t *p)
{
    ap_hook_fixups(fixups, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
