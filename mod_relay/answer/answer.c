/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The filter is the same for HTTP/1 and HTTP/2. It runs before those of mod_headers and
 * mod_session: the fields that they add are the relay's own and stay.
 */

#include "answer.h"
#include "hooks.h"
#include "interim.h"
#include "public.h"
#include "request/attempt.h"
#include "request/cookies.h"
#include "request/patience.h"
#include "request/pinned.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

/* ap_http_header_filter() compares each name in Vary with all others. A longer field becomes `*`.
 */
#define VARY_MAX 1024

static ap_filter_rec_t *answer_filter;

/*
 * Without a policy browsers tell other sites the page's host in Referer, and knowing that name is
 * the permission to visit it.
 */
static void set_referrer_policy(request_rec *r)
{
    static const char *const policies[] = {"no-referrer",
                                           "no-referrer-when-downgrade",
                                           "same-origin",
                                           "origin",
                                           "strict-origin",
                                           "origin-when-cross-origin",
                                           "strict-origin-when-cross-origin",
                                           "unsafe-url"};
    const char *said = apr_table_get(r->headers_out, "Referrer-Policy");
    unsigned i;

    /* Browsers ignore policies that they do not know. */
    for (i = 0; said && i < sizeof(policies) / sizeof(policies[0]); i++)
        if (ap_find_token(r->pool, said, policies[i]))
            return;
    apr_table_setn(r->headers_out, "Referrer-Policy", "same-origin");
}

static void clean_cookies(request_rec *r, const apr_array_header_t *names)
{
    const apr_array_header_t *all = apr_table_elts(r->headers_out);
    apr_array_header_t *kept;
    int i, refused = 0;

    if (!apr_table_get(r->headers_out, "Set-Cookie"))
        return;
    kept = apr_array_make(r->pool, 4, sizeof(char *));
    for (i = 0; i < all->nelts; i++) {
        apr_table_entry_t *field = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (ap_cstr_casecmp(field->key, "Set-Cookie"))
            continue;
        /* mod_proxy has copied the value for this table: it may be written to. */
        if (mod_relay_set_cookie_clean(field->val, names))
            APR_ARRAY_PUSH(kept, char *) = field->val;
        else
            refused++;
    }
    if (!refused)
        return;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLY136 tunnel %s: its device tried to set a cookie of the relay's own logins",
                  mod_relay_request_of(r)->route.tunnel);
    apr_table_unset(r->headers_out, "Set-Cookie");
    for (i = 0; i < kept->nelts; i++)
        apr_table_addn(r->headers_out, "Set-Cookie", APR_ARRAY_IDX(kept, i, char *));
}

/*
 * The relay's own modules may have set cookies before the device was asked. mod_proxy would mix
 * them with the device's, so they are taken out meanwhile.
 */
static void put_back(request_rec *r, mod_relay_request *rr)
{
    int i;

    for (i = 0; rr->own_cookies && i < rr->own_cookies->nelts; i++)
        apr_table_addn(r->headers_out, "Set-Cookie",
                       APR_ARRAY_IDX(rr->own_cookies, i, const char *));
    rr->own_cookies = NULL;
}

static int take_out(void *data, const char *key, const char *value)
{
    APR_ARRAY_PUSH((apr_array_header_t *)data, const char *) = value;
    return 1;
}

static int put_in(void *data, const char *key, const char *value)
{
    apr_table_addn(data, key, value);
    return 1;
}

/*
 * The body broke off before anything of the answer has gone to the visitor. httpd would answer with
 * a page of its own to this; without it, request_status sends ours.
 */
static int is_broken(apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b))
        if (!APR_BUCKET_IS_METADATA(b) || APR_BUCKET_IS_FLUSH(b) || AP_BUCKET_IS_ERROR(b))
            return AP_BUCKET_IS_ERROR(b);
    return 0;
}

static apr_status_t on_answer(ap_filter_t *f, apr_bucket_brigade *bb)
{
    mod_relay_request *rr = f->ctx;
    request_rec *r = f->r;
    const char *vary;

    if (rr->worker && is_broken(bb)) {
        rr->fault = "its body breaks off";
        r->eos_sent = 0; /* it goes no further */
        return apr_brigade_cleanup(bb);
    }
    mod_relay_attempt_answered(r, rr);
    mod_relay_interim_end(rr);
    mod_relay_patience_answered(rr);
    if (rr->long_fields)
        apr_table_do(put_in, r->headers_out, rr->long_fields, NULL);
    clean_cookies(r, rr->server->hidden_cookies);
    mod_relay_public_fields(r, rr);
    set_referrer_policy(r);
    if ((vary = apr_table_get(r->headers_out, "Vary")) != NULL && strlen(vary) > VARY_MAX)
        apr_table_setn(r->headers_out, "Vary", "*");
    put_back(r, rr);
    mod_relay_pinned_answer(r, rr);
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

void mod_relay_answer_begin(request_rec *r, mod_relay_request *rr)
{
    if (apr_table_get(r->headers_out, "Set-Cookie")) {
        rr->own_cookies = apr_array_make(r->pool, 2, sizeof(const char *));
        apr_table_do(take_out, rr->own_cookies, r->headers_out, "Set-Cookie", NULL);
        apr_table_unset(r->headers_out, "Set-Cookie");
    }
    mod_relay_interim_begin(r, rr);
    ap_add_output_filter_handle(answer_filter, rr, r, r->connection);
}

void mod_relay_answer_end(request_rec *r, mod_relay_request *rr)
{
    mod_relay_interim_end(rr);
    put_back(r, rr);
    rr->long_fields = NULL;
}

void mod_relay_answer_register_hooks(apr_pool_t *p)
{
    answer_filter =
        ap_register_output_filter("RELAY_ANSWER_HEAD", on_answer, NULL, AP_FTYPE_CONTENT_SET - 1);
}
