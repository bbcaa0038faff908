/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "describe.h"
#include "relay_live.h"

#include <string.h>

/* The report of one relay's rlyd. */
typedef struct relay_links {
    int known;
    const char *taken;      /* of relay:, or NULL */
    apr_hash_t *by_address; /* text of the listen address -> text of the JSON */
} relay_links;

rly_links *rly_links_create(rly *r)
{
    rly_links *links = apr_pcalloc(r->p, sizeof(*links));

    links->r = r;
    links->relays = apr_hash_make(r->p);
    return links;
}

/* Reads whether that relay's rlyd is there (it keeps `relay:<name>` alive with its heartbeat), and
 * where it sees others listen. */
static apr_status_t ask_relay(relay_links *live, rly *r, const char *relay, const char **why)
{
    const char *argv[] = {"HMGET", relay_store_key(r->store, r->p, RELAY_KEYNAME_RELAY, relay), "v",
                          "taken"};
    redisReply *reply;
    apr_status_t rv = relay_store_command(r->store, &reply, 4, argv, NULL, r->p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        live->known = reply->element[0]->type == REDIS_REPLY_STRING;
        if (reply->element[1]->type == REDIS_REPLY_STRING)
            live->taken = apr_pstrdup(r->p, reply->element[1]->str);
    }
    freeReplyObject(reply);
    return APR_SUCCESS;
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

static apr_status_t load(relay_links **out, rly *r, const char *relay, const char **why)
{
    const char *argv[] = {"HGETALL", relay_store_key(r->store, r->p, RELAY_KEYNAME_LIVE, relay)};
    relay_links *live = apr_pcalloc(r->p, sizeof(*live));
    redisReply *reply;
    apr_status_t rv;

    if ((rv = ask_relay(live, r, relay, why)) != APR_SUCCESS ||
        (rv = relay_store_command(r->store, &reply, 2, argv, NULL, r->p, why)) != APR_SUCCESS)
        return rv;
    live->by_address = apr_hash_make(r->p);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *address = reply->element[i], *text = reply->element[i + 1];

        if (address->type == REDIS_REPLY_STRING && text->type == REDIS_REPLY_STRING)
            apr_hash_set(live->by_address, apr_pstrdup(r->p, address->str), APR_HASH_KEY_STRING,
                         apr_pstrmemdup(r->p, text->str, (apr_size_t)text->len));
    }
    freeReplyObject(reply);
    *out = live;
    return APR_SUCCESS;
}

/* Fills a link from rlyd's entry, if that is about this tunnel. */
static void read_link(rly_link *out, const char *text, const char *tunnel, apr_pool_t *p)
{
    relay_live entry;

    relay_live_parse(&entry, text, p);
    if (entry.tunnel && strcmp(entry.tunnel, tunnel) == 0) {
        out->up = 1;
        out->since = apr_time_from_msec(entry.since_ms);
        out->peer = entry.peer;
    }
}

apr_status_t rly_link_of(rly_link *out, rly_links *links, const relay_tunnel *t, int route,
                         const char **why)
{
    rly *r = links->r;
    relay_links *live = apr_hash_get(links->relays, t->relay, APR_HASH_KEY_STRING);
    const char *text, *address = relay_listen_addr_print(t->routes[route].listen, r->p);
    apr_status_t rv;

    if (!live) {
        if ((rv = load(&live, r, t->relay, why)) != APR_SUCCESS)
            return rv;
        apr_hash_set(links->relays, t->relay, APR_HASH_KEY_STRING, live);
    }
    *out = (rly_link){.known = live->known};
    text = apr_hash_get(live->by_address, address, APR_HASH_KEY_STRING);
    if (live->known && text)
        read_link(out, text, t->id, r->p);
    out->taken = live->taken && is_taken(live->taken, address, r->p);
    return APR_SUCCESS;
}
