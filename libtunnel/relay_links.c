/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_links.h"
#include "relay_live.h"

#include <apr_hash.h>
#include <string.h>

/* The report of one relay's rlyd. */
typedef struct report {
    int known;
    const char *taken;             /* of relay:, or NULL */
    apr_array_header_t *addresses; /* const char *: the listen addresses that were asked for */
    apr_hash_t *by_address;        /* text of the listen address -> text of the JSON */
} report;

struct relay_links {
    apr_pool_t *p;
    apr_hash_t *relays; /* name -> report */
    apr_hash_t *told;   /* instead of these: a tunnel's id -> relay_link[] */
};

static const char *text_of(const redisReply *reply, apr_pool_t *p)
{
    return reply->type == REDIS_REPLY_STRING ? apr_pstrmemdup(p, reply->str, (size_t)reply->len)
                                             : NULL;
}

/* What to ask: each route's address, at its relay. */
static void add_routes(relay_links *links, const relay_tunnel *t)
{
    report *r = apr_hash_get(links->relays, t->relay, APR_HASH_KEY_STRING);

    if (!r) {
        r = apr_pcalloc(links->p, sizeof(*r));
        r->addresses = apr_array_make(links->p, 4, sizeof(const char *));
        r->by_address = apr_hash_make(links->p);
        apr_hash_set(links->relays, t->relay, APR_HASH_KEY_STRING, r);
    }
    for (int i = 0; i < t->nroutes; i++)
        APR_ARRAY_PUSH(r->addresses, const char *) =
            relay_listen_addr_print(t->routes[i].listen, links->p);
}

/* Whether that relay's rlyd is there (it keeps `relay:<name>` alive with its heartbeat), and where
 * it sees others listen. */
static void read_relay(report *r, const redisReply *reply, apr_pool_t *p)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return;
    r->known = reply->element[0]->type == REDIS_REPLY_STRING;
    r->taken = text_of(reply->element[1], p);
}

static void read_live(report *r, const redisReply *reply, apr_pool_t *p)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return;
    for (int i = 0; i < r->addresses->nelts && (size_t)i < reply->elements; i++)
        apr_hash_set(r->by_address, APR_ARRAY_IDX(r->addresses, i, const char *),
                     APR_HASH_KEY_STRING, text_of(reply->element[i], p));
}

static apr_status_t ask(relay_links *links, relay_store *s, const char *relay, report *r,
                        const char **why)
{
    apr_pool_t *p = links->p;
    const char *about[] = {"HMGET", relay_store_key(s, p, RELAY_KEYNAME_RELAY, relay), "v",
                           "taken"};
    int i, n = r->addresses->nelts;
    const char **live = apr_palloc(p, sizeof(*live) * (apr_size_t)(n + 2));
    relay_store_cmd cmds[] = {{4, about, NULL}, {n + 2, live, NULL}};
    redisReply *replies[2];
    apr_status_t rv;

    live[0] = "HMGET";
    live[1] = relay_store_key(s, p, RELAY_KEYNAME_LIVE, relay);
    for (i = 0; i < n; i++)
        live[i + 2] = APR_ARRAY_IDX(r->addresses, i, const char *);
    if ((rv = relay_store_read(s, cmds, 2, replies, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, replies[0], NULL, p, why)) == APR_SUCCESS &&
        (rv = relay_store_check(s, replies[1], NULL, p, why)) == APR_SUCCESS) {
        read_relay(r, replies[0], p);
        read_live(r, replies[1], p);
    }
    relay_store_free(replies, 2);
    return rv;
}

apr_status_t relay_links_read(relay_links **out, relay_store *s, const apr_array_header_t *tunnels,
                              apr_pool_t *p, const char **why)
{
    relay_links *links = apr_pcalloc(p, sizeof(*links));
    apr_status_t rv = APR_SUCCESS;

    links->p = p;
    links->relays = apr_hash_make(p);
    for (int i = 0; i < tunnels->nelts; i++)
        add_routes(links, APR_ARRAY_IDX(tunnels, i, const relay_tunnel *));
    for (apr_hash_index_t *at = apr_hash_first(p, links->relays); at && rv == APR_SUCCESS;
         at = apr_hash_next(at))
        rv = ask(links, s, apr_hash_this_key(at), apr_hash_this_val(at), why);
    if (rv == APR_SUCCESS)
        *out = links;
    return rv;
}

apr_status_t relay_links_read_one(relay_links **out, relay_store *s, relay_tunnel *t, apr_pool_t *p,
                                  const char **why)
{
    apr_array_header_t *one = apr_array_make(p, 1, sizeof(relay_tunnel *));

    APR_ARRAY_PUSH(one, relay_tunnel *) = t;
    return relay_links_read(out, s, one, p, why);
}

relay_links *relay_links_told(apr_pool_t *p)
{
    relay_links *links = apr_pcalloc(p, sizeof(*links));

    links->p = p;
    links->told = apr_hash_make(p);
    return links;
}

void relay_links_tell(relay_links *links, const relay_tunnel *t, const relay_link *of)
{
    apr_hash_set(links->told, t->id, APR_HASH_KEY_STRING, of);
}

/* True where the words have that address, or its port at all addresses. */
static int is_taken(const char *words, const char *address, apr_pool_t *p)
{
    const char *everywhere = apr_pstrcat(p, "*", strchr(address, ':'), NULL);
    char *state, *word;

    for (word = apr_strtok(apr_pstrdup(p, words), " ", &state); word;
         word = apr_strtok(NULL, " ", &state))
        if (strcmp(word, address) == 0 || strcmp(word, everywhere) == 0)
            return 1;
    return 0;
}

/* Fills a link from rlyd's entry, if that is about this tunnel. */
static void read_link(relay_link *out, const char *text, const char *tunnel, apr_pool_t *p)
{
    relay_live entry;

    relay_live_parse(&entry, text, p);
    if (entry.tunnel && strcmp(entry.tunnel, tunnel) == 0) {
        out->up = 1;
        out->since = apr_time_from_msec(entry.since_ms);
        out->peer = entry.peer;
    }
}

void relay_link_of(relay_link *out, const relay_links *links, const relay_tunnel *t, int route)
{
    const relay_link *told =
        links->told ? apr_hash_get(links->told, t->id, APR_HASH_KEY_STRING) : NULL;
    const char *text, *address;
    const report *r;

    if (links->told) {
        *out = told ? told[route] : (relay_link){.known = 0};
        return;
    }
    address = relay_listen_addr_print(t->routes[route].listen, links->p);
    r = apr_hash_get(links->relays, t->relay, APR_HASH_KEY_STRING);
    *out = (relay_link){.known = r->known};
    text = apr_hash_get(r->by_address, address, APR_HASH_KEY_STRING);
    if (r->known && text)
        read_link(out, text, t->id, links->p);
    out->taken = r->taken && is_taken(r->taken, address, links->p);
}
