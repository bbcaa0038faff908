/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz targets: what an API answers to rly, and rly.conf. */

#include "fuzz.h"
#include "api/answer.h"
#include "api/fleet.h"
#include "api/place.h"
#include "relay_connect.h"
#include "relay_name.h"
#include "relay_text.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_line(const char *text)
{
    return text && relay_text_is_plain(text) && fuzz_is_plain(text);
}

static void judge_tunnel(const relay_config *cfg, const relay_tunnel *t, apr_pool_t *p)
{
    MUST(relay_name_check(t->id, strlen(t->id), NULL, NULL) == APR_SUCCESS);
    MUST(is_line(t->device) && is_line(t->relay) && is_line(t->key) && is_line(t->by));
    MUST(t->created > 0 && t->expires > 0);
    MUST(t->nroutes >= 1 && t->nroutes <= RELAY_TUNNEL_ROUTES_MAX);
    for (int i = 0; i < t->nroutes; i++) {
        MUST(relay_name_check(t->routes[i].name, strlen(t->routes[i].name), NULL, NULL) ==
             APR_SUCCESS);
        MUST(is_line(relay_connect_forward(&t->routes[i], " ", p)));
        if (cfg)
            relay_connect_url(cfg, &t->routes[i], p);
    }
    MUST(is_line(t->needs.host) && is_line(t->needs.upgrade));
}

static int judge_page(const json_t *json, apr_pool_t *p)
{
    rly_answer_page page = {.tunnels = apr_array_make(p, 1, sizeof(relay_tunnel *)),
                            .links = relay_links_told(p)};
    relay_config cfg = {.file = ""};
    const char *why = NULL;
    relay_link link;

    if (rly_answer_tunnels(&page, &cfg, json, p, &why) != APR_SUCCESS) {
        MUST(why && is_line(why));
        return 0;
    }
    MUST(is_line(cfg.domain) && is_line(cfg.name) && cfg.https_port > 0 && page.now > 0);
    MUST(!page.next || is_line(page.next));
    for (int i = 0; i < page.tunnels->nelts; i++) {
        const relay_tunnel *t = APR_ARRAY_IDX(page.tunnels, i, relay_tunnel *);

        judge_tunnel(&cfg, t, p);
        relay_link_of(&link, page.links, t, 0);
        MUST(!link.peer || is_line(link.peer));
    }
    return 1;
}

static int judge_opened(const json_t *json, int tls, apr_pool_t *p)
{
    relay_config cfg = {.file = ""};
    const char *why = NULL, *command;
    rly_answer_opened opened;

    if (rly_answer_open(&opened, &cfg, tls, json, p, &why) != APR_SUCCESS) {
        MUST(why && is_line(why));
        return 0;
    }
    judge_tunnel(&cfg, opened.tunnel, p);
    command = relay_connect_command(&cfg, opened.tunnel, tls, p);
    MUST(is_line(command) && strncmp(command, "ssh -N ", 7) == 0);
    MUST(is_line(cfg.user) && *cfg.user != '-' && is_line(cfg.ssh_host) && *cfg.ssh_host != '-');
    MUST(!strpbrk(cfg.user, " \"'$") && !strpbrk(cfg.ssh_host, " \"'$"));
    for (int i = 0; i < opened.hostkeys->nelts; i++)
        MUST(is_line(APR_ARRAY_IDX(opened.hostkeys, i, const char *)));
    for (int i = 0; i < opened.notes->nelts; i++)
        MUST(is_line(APR_ARRAY_IDX(opened.notes, i, const char *)));
    return 1;
}

static int judge_tokens(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *tokens = apr_array_make(p, 1, sizeof(relay_token *)), *ids;
    const char *next = NULL, *text = NULL, *why = NULL;
    relay_token t;
    int taken = 0;

    if (rly_answer_tokens(tokens, &next, json, p, &why) == APR_SUCCESS)
        taken = 1;
    for (int i = 0; taken && i < tokens->nelts; i++)
        MUST(is_line(APR_ARRAY_IDX(tokens, i, relay_token *)->label));
    if (rly_answer_token(&t, &text, json, p, &why) == APR_SUCCESS) {
        MUST(strlen(text) == RELAY_TOKEN_LEN && is_line(t.by) && is_line(t.role));
        taken = 1;
    }
    if (rly_answer_revoked(&ids, json, p, &why) == APR_SUCCESS) {
        for (int i = 0; i < ids->nelts; i++)
            MUST(is_line(APR_ARRAY_IDX(ids, i, const char *)));
        taken = 1;
    }
    return taken;
}

static void judge_code(const relay_code *c)
{
    MUST(is_line(c->id) && is_line(c->tenant) && is_line(c->label) && is_line(c->by));
    MUST(c->uses >= 0 && c->used >= 0 && c->created > 0 && c->expires > 0);
}

static int judge_codes(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *codes = apr_array_make(p, 1, sizeof(relay_code *));
    const char *next = NULL, *text, *why = NULL, *id, *hash;
    relay_code c;
    int taken = 0;

    if (rly_answer_code(&c, &text, json, p, &why) == APR_SUCCESS) {
        judge_code(&c);
        MUST(is_line(text) && relay_code_parse(&id, &hash, text, p) && strcmp(id, c.id) == 0);
        taken = 1;
    }
    if (rly_answer_codes(codes, &next, json, p, &why) != APR_SUCCESS)
        return taken;
    MUST(!next || is_line(next));
    for (int i = 0; i < codes->nelts; i++)
        judge_code(APR_ARRAY_IDX(codes, i, relay_code *));
    return 1;
}

static int judge_devices(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *devices = apr_array_make(p, 1, sizeof(relay_device *));
    const char *next = NULL, *why = NULL;
    relay_device one;
    int taken = rly_answer_device(&one, json, p, &why) == APR_SUCCESS;

    if (taken)
        APR_ARRAY_PUSH(devices, relay_device *) = &one;
    taken |= rly_answer_devices(devices, &next, json, p, &why) == APR_SUCCESS;
    for (int i = 0; i < devices->nelts; i++) {
        const relay_device *d = APR_ARRAY_IDX(devices, i, relay_device *);

        MUST(is_line(d->id) && is_line(d->tenant) && is_line(d->label) && is_line(d->by));
        MUST(is_line(d->from) && d->created > 0 && d->seen > 0);
    }
    return taken;
}

static int judge_relays(const json_t *json, apr_pool_t *p)
{
    apr_array_header_t *relays = apr_array_make(p, 1, sizeof(relay_host *));
    const char *why = NULL;
    int taken = rly_answer_relays(relays, json, p, &why) == APR_SUCCESS;

    for (int i = 0; i < relays->nelts; i++) {
        const relay_host *h = APR_ARRAY_IDX(relays, i, relay_host *);

        MUST(is_line(h->name) && is_line(h->ssh) && is_line(h->versions) && is_line(h->by));
        MUST(!h->load[strspn(h->load, "0123456789.")] && h->sessions >= -1);
    }
    return taken;
}

static int is_detail(void *baton, const char *name, const char *value)
{
    MUST(is_line(name) && is_line(value));
    return 1;
}

/* @param since NULL: the latest ones */
static int judge_events(const json_t *json, const char *since, apr_pool_t *p)
{
    relay_history h = {.since = since};
    const char *why = NULL, *before = since ? since : "0-0";

    if (rly_answer_events(&h, json, p, &why) != APR_SUCCESS) {
        MUST(why && is_line(why));
        return 0;
    }
    MUST(h.events->nelts <= RELAY_HISTORY_MAX && is_line(h.next));
    for (int i = 0; i < h.events->nelts; i++) {
        const relay_happened *e = APR_ARRAY_IDX(h.events, i, relay_happened *);

        MUST(relay_history_compare(before, e->id) < 0);
        MUST(is_line(e->id) && is_line(e->tenant) && is_line(e->what) && is_line(e->tunnel));
        MUST(is_line(e->relay) && is_line(e->by) && is_line(e->from) && is_line(e->request));
        MUST(e->at > 0);
        apr_table_do(is_detail, NULL, e->details, NULL);
        before = e->id;
    }
    MUST(relay_history_compare(before, h.next) <= 0);
    MUST(!since || !h.more || relay_history_compare(since, h.next) < 0);
    return 1;
}

static int judge_fleet(const json_t *json, apr_pool_t *p)
{
    return judge_codes(json, p) | judge_devices(json, p) | judge_relays(json, p) |
           judge_events(json, NULL, p) | judge_events(json, "1700000000000-0", p);
}

int fuzz_rly_answer(const char *text, size_t size, apr_pool_t *p)
{
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    rly_answer_problem problem;
    int taken;

    if (!json)
        return 0;
    taken = judge_page(json, p) | judge_opened(json, 0, p) | judge_opened(json, 1, p) |
            judge_tokens(json, p) | judge_fleet(json, p);
    rly_answer_refused(&problem, json, p);
    MUST(is_line(problem.tag) && is_line(problem.member));
    MUST(!problem.detail || is_line(problem.detail));
    MUST(rly_answer_status(404, &problem) != APR_SUCCESS);
    json_decref(json);
    return taken;
}

int fuzz_rly_place(const char *text, size_t size, apr_pool_t *p)
{
    static int fd = -1;
    const char *why = NULL, *path, *again;
    rly_place place;
    char id[RELAY_TOKEN_ID_LEN + 1];

    if (fd < 0)
        fd = memfd_create("rly.conf", MFD_CLOEXEC);
    MUST(fd >= 0 && fchmod(fd, 0600) == 0);
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, text, size, 0) == (ssize_t)size);
    path = apr_psprintf(p, "/proc/self/fd/%d", fd);
    if (rly_place_find(&place, path, NULL, p, &why) != APR_SUCCESS) {
        MUST(why && strncmp(why, path, strlen(path)) == 0);
        return 0;
    }
    MUST(relay_token_parse(id, place.token, strlen(place.token)));
    MUST(strncmp(place.url, "https://", 8) == 0 && !strpbrk(place.url + 8, "/?#@ "));
    MUST(rly_place_url(&again, place.url, p, &why) == APR_SUCCESS);
    MUST(strcmp(again, place.url) == 0);
    MUST(!place.cacert || *place.cacert == '/');
    return 1;
}
