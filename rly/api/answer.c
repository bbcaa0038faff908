/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "answer.h"
#include "member.h"
#include "relay_grant.h"
#include "relay_name.h"
#include "relay_pin.h"
#include "relay_words.h"

#include <string.h>

#define HOSTKEYS_MAX 16
#define NOTES_MAX (2 * RELAY_TUNNEL_ROUTES_MAX)
#define REVOKED_MAX 100000
#define URL_BYTES 2000 /* a service */

/* ---- tunnels */

static int is_state(const char *text)
{
    return strcmp(text, "open") == 0 || strcmp(text, "closed") == 0 || strcmp(text, "expired") == 0;
}

/* What the service of each route needs: they all say the same. */
static int read_needs(relay_needs *out, rly_members *m)
{
    const char *host = rly_member_text(m, "host", URL_BYTES);
    const char *upgrade = rly_member_words(m, "upgrade", RELAY_UPGRADE_MAX);

    out->forwarded = rly_member_switch(m, "forwarded");
    out->old_tls = rly_member_switch(m, "old_tls");
    if (!m->wrong && relay_needs_host_parse(&out->host, host, m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "host");
    if (!m->wrong && !*upgrade)
        out->upgrade = "";
    else if (!m->wrong &&
             relay_needs_upgrade_parse(&out->upgrade, upgrade, m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "upgrade");
    return !m->wrong;
}

static int read_route(relay_tunnel_route *out, relay_needs *needs, rly_members *m)
{
    const char *service = rly_member_text(m, "service", URL_BYTES);
    const char *listen = rly_member_text(m, "listen", RELAY_LISTEN_ADDR_SIZE);
    relay_service *parsed;

    *out = (relay_tunnel_route){.name = rly_member_label(m, "name"), .service = service};
    if (!m->wrong && relay_service_parse(&parsed, service, m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "service");
    if (!m->wrong && relay_listen_addr_parse(&out->listen, listen) != APR_SUCCESS)
        rly_member_wrong(m, "listen");
    return !m->wrong && read_needs(needs, m);
}

static int read_link(relay_link *out, rly_members *m)
{
    const json_t *connected = json_object_get(m->json, "connected");

    if (!json_is_boolean(connected) && !json_is_null(connected))
        return rly_member_wrong(m, "connected");
    *out = (relay_link){.known = json_is_boolean(connected),
                        .up = json_is_true(connected),
                        .taken = json_is_true(json_object_get(m->json, "taken")),
                        .since = rly_member_time(m, "since", 1),
                        .peer = rly_member_text_or_null(m, "peer", 100)};
    return !m->wrong;
}

/* @param links out: NULL where nobody wants them */
static apr_status_t read_routes(relay_tunnel *t, relay_link **links, const json_t *json,
                                apr_pool_t *p, const char **why)
{
    const json_t *routes = json_object_get(json, "routes");
    size_t n = json_array_size(routes);
    rly_members m = {.json = NULL, .p = p};

    if (n < 1 || n > RELAY_TUNNEL_ROUTES_MAX) {
        rly_member_wrong(&m, "routes");
        return rly_members_end(&m, why);
    }
    t->nroutes = (int)n;
    t->routes = apr_pcalloc(p, sizeof(*t->routes) * n);
    if (links)
        *links = apr_pcalloc(p, sizeof(**links) * n);
    for (size_t i = 0; i < n && !m.wrong; i++) {
        m.json = json_array_get(routes, i);
        if (read_route(&t->routes[i], &t->needs, &m) && links)
            read_link(&(*links)[i], &m);
    }
    return rly_members_end(&m, why);
}

static const char *read_key(rly_members *m)
{
    const char *key = rly_member_text(m, "key", 64);

    if (!m->wrong && !relay_fingerprint_is_valid(key))
        rly_member_wrong(m, "key");
    return key;
}

static apr_status_t read_tunnel(relay_tunnel **out, relay_link **links, const json_t *json,
                                apr_pool_t *p, const char **why)
{
    rly_members m = {.json = json, .p = p};
    relay_tunnel *t = apr_pcalloc(p, sizeof(*t));
    apr_status_t rv;

    *t = (relay_tunnel){.id = rly_member_label(&m, "id"),
                        .device = rly_member_text(&m, "device", RELAY_DEVICE_MAX),
                        .tenant = rly_member_text_or_null(&m, "tenant", RELAY_NAME_MAX),
                        .relay = rly_member_label(&m, "relay"),
                        .key = read_key(&m),
                        .state = rly_member_text(&m, "state", 10),
                        .by = rly_member_text(&m, "by", 300),
                        .created = rly_member_time(&m, "created", 0),
                        .expires = rly_member_time(&m, "expires", 0),
                        .ended = rly_member_time(&m, "ended", 1)};
    if (!m.wrong && !is_state(t->state))
        rly_member_wrong(&m, "state");
    t->tenant = t->tenant ? t->tenant : "";
    if ((rv = rly_members_end(&m, why)) == APR_SUCCESS)
        rv = read_routes(t, links, json, p, why);
    if (rv == APR_SUCCESS)
        *out = t;
    return rv;
}

/* Which relay it is, and where its routes answer: as relay.conf has it. */
static void read_place(relay_config *cfg, rly_members *m)
{
    const char *domain = rly_member_text(m, "domain", 300);
    const char *name = rly_member_label(m, "relay");
    int port = rly_member_port(m, "https_port");

    if (m->wrong)
        return;
    if (relay_config_set(cfg, "domain", domain, m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "domain");
    cfg->name = name;
    cfg->https_port = port;
}

apr_status_t rly_answer_tunnels(rly_answer_page *page, relay_config *cfg, const json_t *json,
                                apr_pool_t *p, const char **why)
{
    const json_t *tunnels;
    rly_members m = {.json = json, .p = p};
    relay_link *links;
    relay_tunnel *t;
    apr_status_t rv;

    read_place(cfg, &m);
    page->now = rly_member_time(&m, "now", 0);
    page->next = rly_member_text_or_null(&m, "next", RLY_CURSOR_BYTES);
    tunnels = rly_member_array(&m, "tunnels", RLY_PAGE_ROWS);
    rv = rly_members_end(&m, why);
    for (size_t i = 0; i < json_array_size(tunnels) && rv == APR_SUCCESS; i++)
        if ((rv = read_tunnel(&t, &links, json_array_get(tunnels, i), p, why)) == APR_SUCCESS) {
            APR_ARRAY_PUSH(page->tunnels, relay_tunnel *) = t;
            relay_links_tell(page->links, t, links);
        }
    return rv;
}

apr_status_t rly_answer_tunnel(relay_tunnel **out, const json_t *json, apr_pool_t *p,
                               const char **why)
{
    return read_tunnel(out, NULL, json, p, why);
}

/* ---- a tunnel that was opened */

static apr_array_header_t *read_hostkeys(rly_members *m)
{
    apr_array_header_t *keys = rly_member_texts(m, "host_keys", HOSTKEYS_MAX, 4096);

    if (!m->wrong && keys->nelts == 0)
        rly_member_wrong(m, "host_keys");
    for (int i = 0; !m->wrong && i < keys->nelts; i++)
        if (!relay_pin_is_key(APR_ARRAY_IDX(keys, i, const char *)))
            rly_member_wrong(m, "host_keys");
    return keys;
}

/* Where the device connects, which becomes ssh's configuration. */
static apr_array_header_t *read_ssh(relay_config *cfg, int tls, rly_members *m)
{
    const char *host = rly_member_text(m, "host", 300), *user = rly_member_text(m, "user", 40);
    int port = rly_member_port(m, "port");
    int v6 = host && strchr(host, ':');

    if (!m->wrong &&
        relay_config_set(cfg, "ssh",
                         apr_psprintf(m->p, "%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port),
                         m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "host");
    if (!m->wrong && relay_config_set(cfg, "user", user, m->p, NULL) != APR_SUCCESS)
        rly_member_wrong(m, "user");
    if (!m->wrong && tls && port != cfg->https_port)
        rly_member_wrong(m, "port");
    return read_hostkeys(m);
}

apr_status_t rly_answer_open(rly_answer_opened *out, relay_config *cfg, int tls, const json_t *json,
                             apr_pool_t *p, const char **why)
{
    rly_members m = {.json = json, .p = p};
    rly_members ssh = {.json = json_object_get(json, "ssh"), .p = p};
    relay_tunnel *t = apr_pcalloc(p, sizeof(*t));
    apr_status_t rv;

    read_place(cfg, &m);
    *t = (relay_tunnel){.id = rly_member_label(&m, "id"),
                        .device = rly_member_text(&m, "device", RELAY_DEVICE_MAX),
                        .tenant = rly_member_text_or_null(&m, "tenant", RELAY_NAME_MAX),
                        .relay = cfg->name,
                        .key = read_key(&m),
                        .state = "open",
                        .by = "",
                        .created = rly_member_time(&m, "created", 0),
                        .expires = rly_member_time(&m, "expires", 0)};
    t->tenant = t->tenant ? t->tenant : "";
    out->notes = rly_member_texts(&m, "warnings", NOTES_MAX, 1000);
    if ((rv = rly_members_end(&m, why)) != APR_SUCCESS ||
        (rv = read_routes(t, NULL, json, p, why)) != APR_SUCCESS)
        return rv;
    out->tunnel = t;
    out->hostkeys = read_ssh(cfg, tls, &ssh);
    return rly_members_end(&ssh, why);
}

/* ---- tokens */

static void read_token(relay_token *out, rly_members *m)
{
    *out = (relay_token){.id = rly_member_label(m, "id"),
                         .role = rly_member_label(m, "role"),
                         .tenant = rly_member_text_or_null(m, "tenant", RELAY_NAME_MAX),
                         .label = rly_member_text(m, "label", RELAY_LABEL_MAX),
                         .by = rly_member_text(m, "by", 300),
                         .created = rly_member_time(m, "created", 0),
                         .expires = rly_member_time(m, "expires", 0)};
}

apr_status_t rly_answer_token(relay_token *out, const char **text, const json_t *json,
                              apr_pool_t *p, const char **why)
{
    rly_members m = {.json = json, .p = p};
    char id[RELAY_TOKEN_ID_LEN + 1];

    read_token(out, &m);
    if (text)
        *text = rly_member_text(&m, "token", RELAY_TOKEN_LEN);
    if (text && !m.wrong && !relay_token_parse(id, *text, strlen(*text)))
        rly_member_wrong(&m, "token");
    return rly_members_end(&m, why);
}

static apr_status_t read_row(void **row, const json_t *json, apr_pool_t *p, const char **why)
{
    *row = apr_palloc(p, sizeof(relay_token));
    return rly_answer_token(*row, NULL, json, p, why);
}

apr_status_t rly_answer_tokens(apr_array_header_t *tokens, const char **next, const json_t *json,
                               apr_pool_t *p, const char **why)
{
    return rly_member_rows(tokens, next, json, "tokens", RLY_PAGE_ROWS, read_row, p, why);
}

apr_status_t rly_answer_revoked(apr_array_header_t **ids, const json_t *json, apr_pool_t *p,
                                const char **why)
{
    rly_members m = {.json = json, .p = p};
    apr_array_header_t *found = rly_member_texts(&m, "revoked", REVOKED_MAX, RELAY_NAME_MAX);

    if (!m.wrong)
        *ids = found;
    return rly_members_end(&m, why);
}

/* ---- problems */

void rly_answer_refused(rly_answer_problem *out, const json_t *json, apr_pool_t *p)
{
    rly_members detail = {.json = json, .p = p}, tag = detail, member = detail;
    const char *text = rly_member_text(&detail, "detail", 4000);

    *out = (rly_answer_problem){.detail = detail.wrong ? NULL : text, .tag = "", .member = ""};
    text = rly_member_text(&tag, "tag", 10);
    if (!tag.wrong)
        out->tag = text;
    text = rly_member_text(&member, "member", 100);
    if (!member.wrong)
        out->member = text;
}

apr_status_t rly_answer_status(long status, const rly_answer_problem *problem)
{
    switch (status) {
    case 404: /* RLY704: there is no such path */
        return strcmp(problem->tag, "RLY714") == 0 ? RELAY_ENOTFOUND : RELAY_EREFUSED;
    case 410:
        return RELAY_EGONE;
    case 422: /* RLY717: the Idempotency-Key was used before */
        return strcmp(problem->tag, "RLY713") == 0 ? RELAY_EINPUT : RELAY_EREFUSED;
    case 429:
        return RELAY_EUNREACHABLE;
    default:
        break;
    }
    if (strcmp(problem->tag, "RLY719") == 0)
        return RELAY_ERECORD;
    return status >= 500 ? RELAY_EUNREACHABLE : RELAY_EREFUSED;
}
