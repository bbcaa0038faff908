/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * From the Host field to the route, and on to mod_proxy. Fields that the visitor may not set are
 * removed here, and the request's environment gets the RELAY_… variables.
 */

#include "request.h"
#include "answer/memory.h"
#include "answer/pages.h"
#include "fields.h"
#include "hooks.h"
#include "relay_name.h"
#include "relay_service.h"
#include "routes/lookup.h"
#include "secrets.h"

#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_proxy.h>

#define PAGE_HANDLER "relay-page"

/*
 * The visitor may not say himself what a device is told about him. `Connection: X-Forwarded-For`
 * would have mod_proxy remove that field, as one for the next hop only.
 */
static void clean_headers(request_rec *r, mod_relay_request *rr)
{
    const char *connection, *kept;

    mod_relay_secrets_note(r, rr);
    mod_relay_fields_drop(r->headers_in, mod_relay_field_is_reserved, r->pool);
    connection = apr_table_get(r->headers_in, "Connection");
    if (connection &&
        (kept = mod_relay_connection_kept(connection, r->headers_in, r->pool)) != connection) {
        if (kept)
            apr_table_setn(r->headers_in, "Connection", kept);
        else
            apr_table_unset(r->headers_in, "Connection");
    }
    apr_table_setn(r->headers_in, "X-Forwarded-Proto", ap_http_scheme(r));
}

static void set_environment(request_rec *r, const mod_relay_request *rr)
{
    apr_table_t *env = r->subprocess_env;
    /* setn() scans for a key to replace; on an empty table addn() skips the scan. */
    void (*set)(apr_table_t *, const char *, const char *) =
        apr_is_empty_table(env) ? apr_table_addn : apr_table_setn;

    set(env, "RELAY_NAME", rr->name);
    if (!rr->route.tunnel)
        return;
    set(env, "RELAY_TUNNEL", rr->route.tunnel);
    set(env, "RELAY_DEVICE", rr->route.device);
    set(env, "RELAY_SERVICE", rr->route.service);
    set(env, "RELAY_LISTEN", rr->route.origin + strlen(rr->route.scheme) + strlen("://"));
}

/* The path as the visitor sent it; its meaning is the device's to say. */
static const char *raw_path(request_rec *r)
{
    const char *path = r->unparsed_uri;

    if (*path != '/') /* an absolute URI */
        path = apr_uri_unparse(r->pool, &r->parsed_uri, APR_URI_UNP_OMITSITEPART);
    return *path == '/' ? path : "/";
}

static void to_device(request_rec *r, mod_relay_request *rr)
{
    clean_headers(r, rr);
    /*
     * mod_deflate and mod_brotli give an answer another ETag, which the device would not know
     * again, and take its length and ranges away. The device compresses, or nobody does.
     */
    apr_table_addn(r->subprocess_env, "no-gzip", "1");
    apr_table_addn(r->subprocess_env, "no-brotli", "1");
    r->proxyreq = PROXYREQ_REVERSE;
    r->handler = "proxy-server";
    r->filename = apr_pstrcat(r->pool, "proxy:", rr->route.origin, raw_path(r), NULL);
    /* mod_proxy_http then takes the path as it is. */
    apr_table_setn(r->notes, "proxy-nocanon", "1");
}

static mod_relay_answer answer_for(apr_status_t rv)
{
    return rv == RELAY_ENOTFOUND ? MOD_RELAY_UNKNOWN
           : rv == RELAY_EGONE   ? MOD_RELAY_GONE
                                 : MOD_RELAY_UNAVAILABLE;
}

/*
 * httpd fetches an ErrorDocument by an internal redirect. The document is the server's own, not the
 * device's, and so are the documents that it includes. Its logs and headers see the environment of
 * the request that it answers.
 */
static int is_error_document(request_rec *r)
{
    const request_rec *first = r;

    while (first->main)
        first = first->main;
    if (!first->prev || !ap_is_HTTP_ERROR(first->prev->status))
        return 0;
    if (mod_relay_request_of(first->prev))
        set_environment(r, mod_relay_request_of(first->prev));
    return 1;
}

static int translate_name(request_rec *r)
{
    mod_relay_server *conf = mod_relay_server_of(r->server);
    char name[RELAY_NAME_MAX + 1] = "";
    const char *gone = NULL;
    relay_host_kind kind;
    mod_relay_request *rr;
    apr_status_t rv = RELAY_ENOTFOUND;

    if (conf->engine != 1 || !r->hostname || r->proxyreq || is_error_document(r))
        return DECLINED;
    kind = relay_name_from_host(name, r->hostname, strlen(r->hostname), conf->realm->relay->domain);
    if (kind == RELAY_HOST_OTHER || (kind == RELAY_HOST_NAME && relay_name_is_reserved(name)))
        return DECLINED;
    if (r->uri[0] != '/') /* OPTIONS * asks the server itself */
        return DECLINED;
    if (r->method_number == M_CONNECT)
        return HTTP_METHOD_NOT_ALLOWED;

    rr = apr_pcalloc(r->pool, sizeof(*rr));
    rr->realm = conf->realm;
    rr->server = conf;
    rr->answer = -1;
    ap_set_module_config(r->request_config, &relay_module, rr);
    if (kind == RELAY_HOST_NAME)
        rv = mod_relay_lookup(conf->realm->lookups, conf, name, &rr->route, &gone, r->pool);
    rr->name = rv == APR_SUCCESS         ? rr->route.name
               : kind == RELAY_HOST_NAME ? apr_pstrdup(r->pool, name)
                                         : "";
    set_environment(r, rr);
    if (rv != APR_SUCCESS)
        rr->answer = answer_for(rv);
    else if (!relay_scheme_is_web(rr->route.scheme))
        rr->answer = MOD_RELAY_NOT_WEB;
    if (mod_relay_memory_begin(r, rr))
        return OK;
    if (rr->answer < 0) {
        to_device(r, rr);
    }
    else {
        r->handler = PAGE_HANDLER;
        r->filename = apr_pstrcat(r->pool, "relay:", rr->name, NULL);
    }
    return OK;
}

/* A page has no file, and no <Directory> to walk. mod_proxy says the same for its requests. */
static int map_to_storage(request_rec *r)
{
    const mod_relay_request *rr = mod_relay_request_of(r);

    return rr && rr->answer >= 0 ? OK : DECLINED;
}

/*
 * mod_mime would say by the name of a path what the device has not said itself: a Content-Type, a
 * Content-Language.
 */
static int type_checker(request_rec *r)
{
    return mod_relay_request_of(r) ? OK : DECLINED;
}

static int page_handler(request_rec *r)
{
    const mod_relay_request *rr = mod_relay_request_of(r);

    if (!rr || rr->answer < 0 || strcmp(r->handler, PAGE_HANDLER))
        return DECLINED;
    return mod_relay_page_send(r, rr, (mod_relay_answer)rr->answer);
}

void mod_relay_route_register_hooks(apr_pool_t *p)
{
    /* After the sysadmin's own RewriteRules, before Debian's `Alias /icons/` takes a path away from
     * a device. */
    static const char *const before[] = {"mod_rewrite.c", NULL}, *const after[] = {"mod_proxy.c",
                                                                                   "mod_alias.c",
                                                                                   NULL};

    ap_hook_translate_name(translate_name, before, after, APR_HOOK_FIRST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_type_checker(type_checker, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(page_handler, NULL, NULL, APR_HOOK_FIRST);
}
