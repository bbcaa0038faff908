/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A page in a browser's cache and a service worker answer without asking anybody, and cookies go to
 * whatever device has the name. Remains of an earlier device must not speak for the present one,
 * nor show a page once the tunnel has ended. t/memory.t tries in Chromium what is said here of
 * browsers; it was found with Chromium 156.
 *
 *  - A worker outlives a script that answers 404 or 410. Clear-Site-Data: "storage" ends the worker
 *    at once, but its pages stay on the screen. So its script is replaced by one that ends it and
 *    loads its pages anew. With "storage" on that very answer the update would end before the
 * script ran.
 *  - "storage" removes localStorage, where pages keep logins as well. An ended tunnel's device may
 *    come back, so "storage" is sent only when the name has changed hands.
 *  - "cookies" removes the cookies of the whole registered domain, the neighbours' and the
 *    operator's own among them. It is never sent; the cookies of a request are deleted one by one.
 *  - "cache" does not reach the memory of the tab's process: scripts of the old page would run in
 *    the new one. A page with a Document-Isolation-Policy gets a process of its own
 *    (Cross-Origin-Opener-Policy does not do it). Parts of that one page that come from other sites
 *    are loaded without their cookies.
 *
 * A name that changed hands has an owner in its route. A browser knows the present owner if it has
 * the cookie OWNER_COOKIE with that id, which no earlier device can have known. Other browsers are
 * strangers: the next page is loaded with all that cleared and with the cookie set. Until then a
 * stranger's cookies and its questions for changes since (If-None-Match and the like) reach no
 * device. OWNER_COOKIE itself never does. It is SameSite=Lax, because requests from pages of other
 * sites, where the browser keeps another storage, are not to set it.
 */

#include "memory.h"
#include "hooks.h"
#include "request/cookies.h"

#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_proxy.h>
#include <util_filter.h>

#define OWNER_COOKIE "__Host-relay-owner"
#define COOKIE_LIFE "34560000" /* 400 days, the longest that browsers keep one */
#define HANDLER "relay-memory"
#define FILTER "RELAY_MEMORY"
#define CACHE "\"cache\""
#define CACHE_AND_STORAGE "\"cache\", \"storage\""
/* A browser with more cookies loses them over several pages. Some clients take 100 headers. */
#define DELETIONS_MAX 60
#define PATHS_MAX 12

static const char last_worker[] =
    "self.addEventListener('install', () => self.skipWaiting());\n"
    "self.addEventListener('activate', event => event.waitUntil((async () => {\n"
    "  for (const key of await caches.keys()) await caches.delete(key);\n"
    "  const windows = await self.clients.matchAll({type: 'window', includeUncontrolled: true});\n"
    "  await self.registration.unregister();\n"
    "  for (const w of windows) await w.navigate(w.url).catch(() => {});\n"
    "})()));\n";

/* ---- the kinds of requests */

static int header_is(const request_rec *r, const char *name, const char *value)
{
    const char *v = apr_table_get(r->headers_in, name);

    return v && ap_cstr_casecmp(v, value) == 0;
}

static int is_worker_script(const request_rec *r)
{
    return header_is(r, "Service-Worker", "script");
}

/* Browsers that do not tell are too old for what is said above, and get the plain way. */
static int tells_what_it_fetches(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Sec-Fetch-Dest") != NULL;
}

static int is_navigation(const request_rec *r)
{
    return header_is(r, "Sec-Fetch-Mode", "navigate");
}

/* A frame in another site's page has storage and cookies of its own. */
static int is_foreign_frame(const request_rec *r)
{
    return header_is(r, "Sec-Fetch-Site", "cross-site") && tells_what_it_fetches(r) &&
           !header_is(r, "Sec-Fetch-Dest", "document");
}

/* ---- clearing */

/* no-store: a cache in front would clear other browsers with it, and hand them the cookie. */
static void clear(request_rec *r, const char *what)
{
    apr_table_setn(r->err_headers_out, "Clear-Site-Data", what);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
}

/* Deletes the cookies that came, except ours. @return 1 if those were all */
static int delete_cookies(request_rec *r)
{
    const char *at = apr_table_get(r->headers_in, "Cookie"), *paths[PATHS_MAX];
    int npaths = at ? mod_relay_cookie_paths(paths, PATHS_MAX, r->unparsed_uri, r->pool) : 0;
    int n = 0, i;
    mod_relay_cookie c;

    while (at && mod_relay_cookie_next(&at, &c)) {
        const char *name = apr_pstrmemdup(r->pool, c.name, c.name_len);

        if (mod_relay_cookie_is(&c, OWNER_COOKIE))
            continue;
        if ((n += npaths) > DELETIONS_MAX)
            return 0;
        for (i = 0; i < npaths; i++)
            apr_table_addn(r->err_headers_out, "Set-Cookie",
                           apr_pstrcat(r->pool, name, "=x; Path=", paths[i], "; Max-Age=0; Secure",
                                       NULL));
    }
    return 1;
}

void mod_relay_memory_ended(request_rec *r, mod_relay_answer answer)
{
    /* A name is known as gone for a day. A worker that asks later is ended, too. */
    if (answer == MOD_RELAY_GONE || (answer == MOD_RELAY_UNKNOWN && is_worker_script(r)))
        clear(r, tells_what_it_fetches(r) ? CACHE : CACHE_AND_STORAGE);
}

static void forget(request_rec *r, const mod_relay_request *rr)
{
    clear(r, CACHE_AND_STORAGE);
    apr_table_setn(r->err_headers_out, "Document-Isolation-Policy", "isolate-and-credentialless");
    if (delete_cookies(r))
        apr_table_addn(r->err_headers_out, "Set-Cookie",
                       apr_pstrcat(r->pool, OWNER_COOKIE "=", rr->route.owner,
                                   "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=" COOKIE_LIFE,
                                   NULL));
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLY146 a browser is told to forget earlier devices: name %s, tunnel %s",
                  rr->name, rr->route.tunnel);
}

/* ---- requests */

/* At a WebSocket's handshake browsers set cookies, but clear nothing. */
static int may_be_page_load(const request_rec *r)
{
    return is_navigation(r) ||
           (!tells_what_it_fetches(r) && !apr_table_get(r->headers_in, "Upgrade"));
}

int mod_relay_memory_begin(request_rec *r, mod_relay_request *rr)
{
    int ended = rr->answer == MOD_RELAY_GONE || rr->answer == MOD_RELAY_UNKNOWN;

    if (rr->answer < 0 && *rr->route.owner) {
        const char *cookies = apr_table_get(r->headers_in, "Cookie");

        rr->stranger = !cookies || !mod_relay_cookies_have(cookies, OWNER_COOKIE, rr->route.owner);
    }
    if (is_worker_script(r) && (rr->stranger || (ended && tells_what_it_fetches(r)))) {
        r->handler = HANDLER;
        r->filename = apr_pstrcat(r->pool, "relay:", rr->name, NULL);
        return 1;
    }
    if (rr->stranger && is_foreign_frame(r))
        clear(r, CACHE);
    else if (rr->stranger && may_be_page_load(r))
        forget(r, rr);
    return 0;
}

static int is_ours(const request_rec *r)
{
    return mod_relay_request_of(r) && r->handler && strcmp(r->handler, HANDLER) == 0;
}

/* There is no file, and no <Directory> to walk. */
static int map_to_storage(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

static int handler(request_rec *r)
{
    const char *body = last_worker, *type = "text/javascript; charset=utf-8";

    if (!is_ours(r))
        return DECLINED;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "RLY147 an earlier service worker is ended: name %s",
                  mod_relay_request_of(r)->name);
    if (tells_what_it_fetches(r)) {
        clear(r, CACHE);
        /* The worker may be that of the whole name, in whatever directory its script stands. */
        apr_table_setn(r->headers_out, "Service-Worker-Allowed", "/");
    }
    else {
        clear(r, CACHE_AND_STORAGE);
        r->status = HTTP_NOT_FOUND;
        type = "text/plain; charset=utf-8";
        body = "404 This worker was another device's\n";
    }
    ap_set_content_type(r, type);
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    ap_set_content_length(r, (apr_off_t)strlen(body));
    if (!r->header_only)
        ap_rputs(body, r);
    return OK;
}

/* Works on mod_proxy's copy of the fields; httpd's own modules have seen their cookies by now. */
static int proxy_fixups(request_rec *r)
{
    const mod_relay_request *rr = mod_relay_request_of(r);
    const char *cookies = rr ? apr_table_get(r->headers_in, "Cookie") : NULL;

    if (rr && rr->stranger) {
        apr_table_unset(r->headers_in, "Cookie");
        /* A validator of the old page could match the new one, and the old page would stay. */
        apr_table_unset(r->headers_in, "If-None-Match");
        apr_table_unset(r->headers_in, "If-Modified-Since");
        apr_table_unset(r->headers_in, "If-Range");
    }
    else if (cookies) {
        const char *kept = mod_relay_cookies_without(cookies, OWNER_COOKIE, r->pool);

        if (!*kept)
            apr_table_unset(r->headers_in, "Cookie");
        else if (kept != cookies)
            apr_table_setn(r->headers_in, "Cookie", kept);
    }
    return OK;
}

/* ---- pages in the browser's cache */

/* Might a browser show it as a page with scripts? HTML, XML, or a type that it guesses. */
static int may_be_page(const char *type)
{
    return !type || !strchr(type, '/') || ap_cstr_casecmpn(type, "text/html", 9) == 0 ||
           ap_strcasestr(type, "xml") || ap_strcasestr(type, "unknown") ||
           strncmp(type, "*/*", 3) == 0 || ap_cstr_casecmpn(type, "multipart/", 10) == 0;
}

/* A field that mentions either word is left as it is: it is not made less strict. */
static int restricts(const char *control)
{
    return control && (ap_strcasestr(control, "no-store") || ap_strcasestr(control, "no-cache"));
}

/*
 * A browser shall ask for a page each time, so that the relay can say that the tunnel has ended or
 * that the name is another device's. Parts of a page may be cached as the device says: they go when
 * the page is loaded anew. A 304 names no type; there the fields of the answer that it confirms
 * stay in force.
 */
static apr_status_t page_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    const char *type = apr_table_get(r->headers_out, "Content-Type");
    const char *control = apr_table_get(r->headers_out, "Cache-Control");

    if (r->status == HTTP_NOT_MODIFIED && !restricts(control)) {
        apr_table_unset(r->headers_out, "Cache-Control");
        apr_table_unset(r->headers_out, "Expires");
    }
    else if (r->status == HTTP_NOT_MODIFIED || is_worker_script(r) || is_navigation(r) ||
             ap_is_HTTP_REDIRECT(r->status) || may_be_page(type ? type : r->content_type)) {
        apr_table_mergen(r->headers_out, "Cache-Control", "no-cache");
    }
    ap_remove_output_filter(f);
    return ap_pass_brigade(f->next, bb);
}

/* Only chosen names come again; a random one is never given twice. */
static void insert_filter(request_rec *r)
{
    const mod_relay_request *rr = mod_relay_request_of(r);

    if (rr && rr->answer < 0 && (rr->route.chosen || is_worker_script(r)))
        ap_add_output_filter(FILTER, NULL, r, r->connection);
}

void mod_relay_memory_register_hooks(apr_pool_t *p)
{
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_insert_filter(insert_filter, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_output_filter(FILTER, page_filter, NULL, AP_FTYPE_RESOURCE);
    APR_OPTIONAL_HOOK(proxy, fixups, proxy_fixups, NULL, NULL, APR_HOOK_MIDDLE);
}
