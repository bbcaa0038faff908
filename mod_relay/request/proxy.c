/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "proxy.h"
#include "answer/answer.h"
#include "answer/pages.h"
#include "attempt.h"
#include "backend.h"
#include "expect.h"
#include "hooks.h"
#include "origin.h"
#include "owner.h"
#include "patience.h"
#include "pinned.h"
#include "places.h"
#include "routes/lookup.h"
#include "secrets.h"
#include "tls.h"
#include "upgrade.h"
#include "upload.h"
#include "weak_proxy.h"

#include <apr_optional_hooks.h>
#include <http_config.h>

/* ---- pre_request: which worker takes this request? */

/* r->filename, and so *url, names the listen address already. */
static int pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                       proxy_server_conf *conf, char **url)
{
    mod_relay_request *rr = mod_relay_request_of(r);
    mod_relay_backend *be;
    int status;

    if (!rr || rr->answer >= 0)
        return DECLINED;
    mod_relay_secrets_hide(r, rr);
    status = mod_relay_pinned_acquire(r, rr, &be);
    rr->pinned = be != NULL;
    if (status != OK || (!be && (be = mod_relay_backend_acquire(r, rr)) == NULL)) {
        mod_relay_secrets_show(r, rr);
        return status != OK ? status : HTTP_INTERNAL_SERVER_ERROR;
    }
    rr->backend = be;
    *worker = rr->worker = mod_relay_backend_worker(be);
    *balancer = NULL;
    rr->proxy = conf;
    if (strcmp(rr->route.scheme, "h2c") == 0)
        *url = rr->url = apr_pstrdup(r->pool, *url);
    mod_relay_origin_begin(r, rr);
    mod_relay_answer_begin(r, rr);
    mod_relay_attempt_begin(r, rr);
    mod_relay_patience_begin(r, rr);
    mod_relay_upload_begin(r, rr);
    mod_relay_expect_begin(r, rr);
    mod_relay_upgrade_begin(r, rr);
    if ((status = mod_relay_places_wait(r, rr)) != OK)
        return status;
    return mod_relay_tls_begin(r, rr, conf, *url);
}

/* ---- request_status: how did it end? */

/* The device could not be asked. A status of the device's own is no failure. */
static int is_failure(const request_rec *r, int status)
{
    if (status == OK || status == DONE)
        return 0;
    /* ProxyErrorOverride: this is the device's own status. */
    if (apr_table_get(r->notes, "proxy-error-override"))
        return 0;
    if (status == HTTP_REQUEST_TIME_OUT)
        return mod_relay_request_of(r)->stalled != 0;
    /* With a note a TLS handshake has failed; without one it is a fault of this server. */
    if (status == HTTP_INTERNAL_SERVER_ERROR)
        return apr_table_get(r->notes, "error-notes") != NULL;
    return status == HTTP_SERVICE_UNAVAILABLE || status == HTTP_BAD_GATEWAY ||
           status == HTTP_GATEWAY_TIME_OUT;
}

/* The device is connected, and there is no answer of its own. */
static mod_relay_answer silent_because(request_rec *r, const mod_relay_request *rr)
{
    int tls;

    if (rr->crowded)
        return MOD_RELAY_CROWDED;
    if (rr->timed_out)
        return MOD_RELAY_TIMED_OUT;
    if (rr->stalled)
        return MOD_RELAY_STALLED;
    if (rr->fault)
        return MOD_RELAY_GARBLED;
    return (tls = mod_relay_tls_page(r, rr)) >= 0 ? (mod_relay_answer)tls : MOD_RELAY_SILENT;
}

/*
 * mod_proxy tells a refused connection (503), no answer or a broken one (502), and a time-out (504)
 * apart. Their meaning depends on the device, which may not be connected, and on the tunnel, which
 * may have ended meanwhile.
 */
static int request_status(int *status, request_rec *r)
{
    mod_relay_request *rr = mod_relay_request_of(r);
    mod_relay_answer answer;
    const char *gone;

    if (!rr || !rr->worker)
        return OK;
    /* mod_proxy_http says 502 for most time-outs. */
    if (rr->timed_out && *status != OK && *status != DONE)
        *status = HTTP_GATEWAY_TIME_OUT;
    mod_relay_attempt_end(r, rr, status);
    mod_relay_patience_end(r, rr);
    mod_relay_upload_end(rr);
    mod_relay_answer_end(r, rr);
    mod_relay_origin_end(r, rr);
    mod_relay_secrets_show(r, rr);
    if ((!is_failure(r, *status) && !rr->fault) || r->connection->aborted)
        return OK;
    if (r->bytes_sent || r->eos_sent) { /* mod_proxy_http2 has spoken for itself */
        *status = OK;
        return OK;
    }
    /* While the device is connected, sshd listens there as the tunnel user. */
    answer = mod_relay_owner_listens(rr->realm, rr->route.listen) == RELAY_OWNER_USER
                 ? silent_because(r, rr)
                 : MOD_RELAY_OFFLINE;
    if (mod_relay_lookup(rr->realm->lookups, rr->server, rr->name, &rr->route, &gone, r->pool) ==
        RELAY_EGONE)
        answer = MOD_RELAY_GONE;
    *status = mod_relay_page_send(r, rr, answer);
    return OK;
}

const char *mod_relay_proxy_missing(void)
{
    if (!ap_find_linked_module("mod_proxy.c") || !ap_find_linked_module("mod_proxy_http.c"))
        return "it needs mod_proxy and mod_proxy_http: `a2enmod proxy proxy_http`, or LoadModule "
               "lines for both before that of relay_module";
    if (!proxy_hook_pre_request)
        return "the LoadModule line of proxy_module must stand before that of relay_module";
    return NULL;
}

void mod_relay_proxy_register_hooks(apr_pool_t *p)
{
    if (proxy_hook_pre_request)
        proxy_hook_pre_request(pre_request, NULL, NULL, APR_HOOK_FIRST);
    APR_OPTIONAL_HOOK(proxy, request_status, request_status, NULL, NULL, APR_HOOK_MIDDLE);
}
