/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * mod_proxy sends r->headers_in. While it has the request, that is a table without the secrets.
 * Logs see them, and so do ErrorDocuments, for which httpd checks the login again.
 */

#include "secrets.h"
#include "cookies.h"
#include "fields.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_cfgtree.h>

/* ---- the names of cookies */

/* Directives whose first word is the name of a login's cookie. `more`: the pattern of what can
 * follow the name in other cookies of that login. */
static const struct {
    const char *directive, *more;
} cookie_directives[] = {
    {"SessionCookieName", NULL},     {"SessionCookieName2", NULL}, {"SessionDBDCookieName", NULL},
    {"SessionDBDCookieName2", NULL}, {"OIDCCookie", "_*"},         {"OIDCStateCookiePrefix", "*"},
};

static void note_directive(const ap_directive_t *d, apr_array_header_t *names)
{
    const char *args = d->args, *name;
    unsigned i;

    for (i = 0; i < sizeof(cookie_directives) / sizeof(cookie_directives[0]); i++) {
        if (ap_cstr_casecmp(d->directive, cookie_directives[i].directive))
            continue;
        name = ap_getword_conf(names->pool, &args);
        if (!*name)
            continue;
        APR_ARRAY_PUSH(names, const char *) = name;
        if (cookie_directives[i].more)
            APR_ARRAY_PUSH(names, const char *) =
                apr_pstrcat(names->pool, name, cookie_directives[i].more, NULL);
    }
}

static void note_directives(const ap_directive_t *d, apr_array_header_t *names)
{
    for (; d; d = d->next) {
        note_directive(d, names);
        note_directives(d->first_child, names);
    }
}

apr_array_header_t *mod_relay_hidden_cookies(const apr_array_header_t *more, apr_pool_t *p)
{
    /* mod_auth_openidc's own defaults; a long session has _0, _1 … and _chunks. mod_session has no
     * default. */
    static const char *const defaults[] = {"mod_auth_openidc_session", "mod_auth_openidc_session_*",
                                           "mod_auth_openidc_state_*"};
    apr_array_header_t *names = apr_array_make(p, 8, sizeof(const char *));
    unsigned i;

    for (i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        APR_ARRAY_PUSH(names, const char *) = defaults[i];
    note_directives(ap_conftree, names);
    if (more)
        apr_array_cat(names, more);
    return names;
}

/* ---- the visitor's Authorization */

/* The modules of some AuthTypes look at a cookie or a form; all others may read Authorization. */
static int reads_authorization(const char *type)
{
    static const char *const others[] = {"None",   "form",       "openid-connect",
                                         "Mellon", "Shibboleth", "CAS"};
    unsigned i;

    for (i = 0; type && i < sizeof(others) / sizeof(others[0]); i++)
        if (ap_cstr_casecmp(type, others[i]) == 0)
            return 0;
    return type != NULL;
}

/*
 * An AuthType is enough: browsers send a password unasked to all paths below the one where they
 * were asked for it, also where a rule lets everybody in, or this visitor for his address.
 */
int mod_relay_secrets_asked(request_rec *r)
{
    return reads_authorization(ap_auth_type(r)) ||
           (r->user && reads_authorization(r->ap_auth_type)) ||
           (r->main && mod_relay_secrets_asked(r->main)) ||
           (r->prev && mod_relay_secrets_asked(r->prev));
}

/* mod_auth_openidc adds the visitor's tokens for the application behind it, unless told otherwise.
 */
static int is_token_field(const char *name)
{
    static const char *const tokens[] = {"OIDC_access_token", "OIDC_refresh_token",
                                         "OIDC_id_token"};
    unsigned i;

    if (*name != 'O' && *name != 'o')
        return 0;
    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        if (ap_cstr_casecmpn(name, tokens[i], strlen(tokens[i])) == 0)
            return 1;
    return 0;
}

apr_table_t *mod_relay_secrets_own_fields(request_rec *r, mod_relay_request *rr)
{
    if (!rr->headers_in) {
        rr->headers_in = r->headers_in;
        r->headers_in = apr_table_copy(r->pool, r->headers_in);
    }
    return r->headers_in;
}

static int is_cookie_field(const char *name)
{
    return (*name == 'C' || *name == 'c') &&
           (strcasecmp(name, "Cookie") == 0 || strcasecmp(name, "Cookie2") == 0);
}

/* httpd joins fields of one name when it reads them. There are several only where a module has
 * added one. */
static void hide_cookies(request_rec *r, mod_relay_request *rr, int i)
{
    const char *value = APR_ARRAY_IDX(apr_table_elts(r->headers_in), i, apr_table_entry_t).val;
    const char *shown = mod_relay_cookies_shown(value, rr->server->hidden_cookies, r->pool);

    if (shown == value)
        return;
    APR_ARRAY_IDX(apr_table_elts(mod_relay_secrets_own_fields(r, rr)), i, apr_table_entry_t).val =
        apr_pstrdup(r->pool, shown ? shown : "");
}

/* An empty field does not go to the device either. */
static void drop_empty_cookies(request_rec *r)
{
    const char *cookie = apr_table_get(r->headers_in, "Cookie");

    if (cookie && !*cookie)
        apr_table_unset(r->headers_in, "Cookie");
}

void mod_relay_secrets_note(request_rec *r, mod_relay_request *rr)
{
    rr->authorization = apr_table_get(r->headers_in, "Authorization");
}

void mod_relay_secrets_hide(request_rec *r, mod_relay_request *rr)
{
    const char *authorization = apr_table_get(r->headers_in, "Authorization");
    int i, tokens = 0;

    /* A value that `RequestHeader set Authorization` has put there since is meant for the device.
     */
    if (authorization && rr->authorization && strcmp(authorization, rr->authorization) == 0 &&
        (rr->asked || mod_relay_secrets_asked(r)))
        apr_table_unset(mod_relay_secrets_own_fields(r, rr), "Authorization");
    for (i = 0; i < apr_table_elts(r->headers_in)->nelts; i++) {
        const char *name = APR_ARRAY_IDX(apr_table_elts(r->headers_in), i, apr_table_entry_t).key;

        if (is_cookie_field(name))
            hide_cookies(r, rr, i);
        tokens |= is_token_field(name);
    }
    if (rr->headers_in)
        drop_empty_cookies(r);
    if (tokens)
        mod_relay_fields_drop(mod_relay_secrets_own_fields(r, rr), is_token_field, r->pool);
}

void mod_relay_secrets_show(request_rec *r, mod_relay_request *rr)
{
    if (rr->headers_in)
        r->headers_in = rr->headers_in;
    rr->headers_in = NULL;
}
