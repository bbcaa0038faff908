/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz targets: what Redis and Sentinel answer, as mod_relay, relay-authkeys and rly read it. The
 * input is what comes over the wire. */

#include "authkeys.h"
#include "fuzz.h"
#include "relay_device.h"
#include "relay_code.h"
#include "relay_history_json.h"
#include "relay_fleet_json.h"
#include "relay_name.h"
#include "relay_route.h"
#include "relay_sentinel.h"
#include "relay_service.h"
#include "relay_token.h"
#include "relay_tunnel.h"

#define FINGERPRINT "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static relay_store *store(const char *text, size_t size, apr_pool_t *p)
{
    relay_store *s;

    fuzz_redis_says(text, size);
    relay_store_create(&s, fuzz_config(), p);
    return s;
}

static int is_label(const char *text)
{
    return text && relay_name_check(text, strlen(text), NULL, NULL) == APR_SUCCESS;
}

int fuzz_route(const char *text, size_t size, apr_pool_t *p)
{
    relay_store *s = store(text, size, p);
    const char *gone = NULL, *why = NULL;
    relay_route r = {0};
    int i, taken = 0;

    for (i = 0; i < 2; i++) { /* the second one finds what the first has left of the connection */
        apr_status_t rv = relay_route_find(&r, s, "name", &gone, p, &why);

        switch (rv) {
        case APR_SUCCESS:
            MUST(is_label(r.tunnel) && is_label(r.relay) && strcmp(r.name, "name") == 0);
            MUST(relay_scheme_is_known(r.scheme) && r.listen.port);
            MUST(fuzz_is_plain(r.device) && fuzz_is_plain(r.service));
            MUST(r.lives > 0 && r.expires >= 0);
            relay_route_check(&r, fuzz_config(), p, &why);
            taken = 1;
            break;
        case RELAY_EGONE:
            MUST(gone && (strcmp(gone, "closed") == 0 || strcmp(gone, "expired") == 0));
            break;
        case RELAY_ENOTFOUND:
            break;
        default:
            MUST(rv == RELAY_ERECORD || rv == RELAY_EUNREACHABLE);
            MUST(why && *why);
        }
    }
    return taken;
}

int fuzz_grant(const char *text, size_t size, apr_pool_t *p)
{
    relay_store *s = store(text, size, p);
    const char *why = NULL, *options, *c;
    relay_grant g;
    apr_status_t rv = authkeys_grant_find(&g, s, fuzz_config(), FINGERPRINT, p, &why);
    int i, quotes = 0;

    if (rv != APR_SUCCESS) {
        MUST(rv == RELAY_ENOTFOUND || (why && *why));
        return 0;
    }
    MUST(is_label(g.tunnel) && strcmp(g.relay, fuzz_config()->name) == 0 && g.naddrs > 0);
    for (i = 0; i < g.naddrs; i++)
        MUST(relay_listen_contains(fuzz_config()->listen, g.addrs[i]));
    for (i = 0; i < 2; i++) {
        options = authkeys_options(&g, i, p);
        MUST(strncmp(options, "restrict,port-forwarding,permitlisten=\"", 39) == 0 &&
             fuzz_is_plain(options));
        for (c = options; *c; c++)
            quotes += *c == '"';
        MUST(quotes % 2 == 0 && !strpbrk(options, " *\\") && !strstr(options, "0.0.0.0"));
    }
    return 1;
}

static void judge_tunnel(const relay_tunnel *t)
{
    int i;

    MUST(t->id && t->relay && t->key && t->state && t->device && t->by);
    MUST(t->nroutes >= 1 && t->nroutes <= RELAY_TUNNEL_ROUTES_MAX);
    for (i = 0; i < t->nroutes; i++)
        MUST(t->routes[i].name && t->routes[i].service && t->routes[i].listen.port);
}

/* As rly show, list, close and extend read them, one after the other on one connection. */
int fuzz_tunnel(const char *text, size_t size, apr_pool_t *p)
{
    relay_store *s = store(text, size, p);
    const relay_actor me = {.by = "me"};
    const char *why = NULL;
    relay_tunnel *t = NULL;
    apr_array_header_t *list = NULL;
    apr_time_t expires = 0;
    int i, taken = 0;

    if (relay_tunnel_find(&t, s, "name", p, &why) == APR_SUCCESS) {
        judge_tunnel(t);
        taken = 1;
    }
    s = store(text, size, p);
    if (relay_tunnel_list(&list, s, p, &why) == APR_SUCCESS)
        for (i = 0; i < list->nelts; i++)
            judge_tunnel(APR_ARRAY_IDX(list, i, relay_tunnel *));
    s = store(text, size, p);
    taken |= relay_tunnel_extend(s, fuzz_config(), "id", apr_time_from_sec(60), &me, &expires, p,
                                 &why) == APR_SUCCESS;
    s = store(text, size, p);
    taken |= relay_tunnel_close(s, fuzz_config(), "id", &me, p, &why) == APR_SUCCESS;
    return taken;
}

/* The login: AUTH and SELECT. */
int fuzz_connect(const char *text, size_t size, apr_pool_t *p)
{
    static const relay_redis_url url = {.unix_path = "/fuzz",
                                        .user = "u",
                                        .password = "hidden-password",
                                        .db = 7,
                                        .shown = "unix:///fuzz"};
    const char *why = NULL;
    redisContext *c = NULL;

    fuzz_redis_says(text, size);
    if (relay_redis_connect(&c, &url, apr_time_from_sec(1), p, &why) != APR_SUCCESS) {
        MUST(why && *why && !c);
        /* A server that refuses AUTH may repeat what it was sent. */
        MUST(*text != '-' || !strstr(why, url.password));
        return 0;
    }
    redisFree(c);
    return 1;
}

/* Where the primary is. */
int fuzz_sentinel(const char *text, size_t size, apr_pool_t *p)
{
    static const relay_redis_url url = {.primary = "relay",
                                        .user = "u",
                                        .password = "hidden-password",
                                        .shown = "sentinel://127.0.0.1/relay",
                                        .nsentinels = 1,
                                        .sentinels = {{"127.0.0.1", 26379}}};
    const relay_redis_url *at = NULL;
    const char *why = NULL;

    fuzz_redis_says(text, size);
    if (relay_sentinel_ask(&at, &url, RELAY_SENTINEL_MAJORITY, apr_time_from_sec(1), p, &why) !=
        APR_SUCCESS) {
        MUST(why && *why && !at && !strstr(why, url.password));
        return 0;
    }
    MUST(at->named && !at->primary && at->port > 0 && at->port < 65536);
    MUST(*at->host && strlen(at->host) < 256 && fuzz_is_plain(at->host));
    MUST(strcmp(at->password, url.password) == 0 && !strstr(at->shown, url.password));
    return 1;
}

/* ---- events, relays, devices, codes and tokens, as rly and the API read them */

static int read_history(const char *text, size_t size, apr_pool_t *p)
{
    relay_history h = {.count = RELAY_HISTORY_MAX, .since = "1-2"};
    relay_store *s = store(text, size, p);
    const char *why = NULL;
    json_t *json;

    if (relay_history_read(&h, s, p, &why) != APR_SUCCESS) {
        MUST(why && *why);
        return 0;
    }
    MUST(h.events->nelts <= RELAY_HISTORY_MAX && relay_history_is_place(h.next));
    MUST((json = relay_history_json(&h, p)) != NULL);
    json_decref(json);
    return 1;
}

static int read_relays(const char *text, size_t size, apr_pool_t *p)
{
    relay_store *s = store(text, size, p);
    apr_array_header_t *hosts;
    const char *why = NULL;
    json_t *json;

    if (relay_hosts_read(&hosts, s, NULL, p, &why) != APR_SUCCESS) {
        MUST(why && *why);
        return 0;
    }
    for (int i = 0; i < hosts->nelts; i++) {
        MUST((json = relay_host_json(APR_ARRAY_IDX(hosts, i, relay_host *), 1, p)) != NULL);
        json_decref(json);
    }
    return 1;
}

/* A page and the records in it; and the same bytes as one record. */
static int read_rows(const relay_rows *rows, json_t *(*one)(const void *, apr_pool_t *),
                     const char *text, size_t size, apr_pool_t *p)
{
    relay_page *page = apr_pcalloc(p, sizeof(*page));
    relay_store *s = store(text, size, p);
    apr_array_header_t *found;
    const char *why = NULL;
    json_t *json;
    void *row;
    int taken = 0;

    page->count = RELAY_PAGE_MAX;
    page->tenant = "bern";
    if (relay_rows_page(&found, rows, page, s, p, &why) == APR_SUCCESS && one) {
        MUST((json = relay_rows_json("rows", found, one, p)) != NULL);
        json_decref(json);
        taken = found->nelts > 0;
    }
    s = store(text, size, p);
    if (relay_rows_one(&row, rows, "id", NULL, s, p, &why) != APR_SUCCESS)
        return taken;
    if (one) {
        MUST((json = one(row, p)) != NULL);
        json_decref(json);
    }
    return 1;
}

int fuzz_fleet(const char *text, size_t size, apr_pool_t *p)
{
    int taken = read_history(text, size, p) | read_relays(text, size, p);

    taken |= read_rows(&relay_device_rows, relay_device_json, text, size, p);
    taken |= read_rows(&relay_code_rows, relay_code_json, text, size, p);
    return taken | read_rows(&relay_token_rows, NULL, text, size, p);
}
