/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_grant.h"
#include "relay_gone.h"
#include "relay_keyname.h"

#include <string.h>

#define LISTEN_MAX 4096 /* bytes of the field */

int relay_fingerprint_is_valid(const char *text)
{
    return strncmp(text, "SHA256:", 7) == 0 && strlen(text) == 50 &&
           strspn(text + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") ==
               43;
}

/* The record of that kind of a key. */
static apr_status_t load(redisReply **hash, const char **key, relay_store *s,
                         relay_keyname_kind kind, const char *fingerprint, apr_pool_t *p,
                         const char **why)
{
    if (!relay_fingerprint_is_valid(fingerprint))
        return RELAY_ENOTFOUND;
    *key = relay_store_key(s, p, kind, fingerprint);
    return relay_record_load(hash, s, *key, p, why);
}

/* Listen addresses, separated by spaces. @return whether there is one, and all are some */
static int read_addrs(relay_grant *g, const char *text, apr_pool_t *p)
{
    relay_listen_addr *addrs;
    char *word, *state;

    if (!text || strlen(text) > LISTEN_MAX)
        return 0;
    g->addrs = addrs = apr_palloc(p, (strlen(text) / 2 + 1) * sizeof(*addrs));
    for (word = apr_strtok(apr_pstrdup(p, text), " ", &state); word;
         word = apr_strtok(NULL, " ", &state))
        if (relay_listen_addr_parse(&addrs[g->naddrs++], word) != APR_SUCCESS)
            return 0;
    return g->naddrs > 0;
}

static apr_status_t read_grant(relay_grant *g, const redisReply *hash, const char *key,
                               apr_pool_t *p, const char **why)
{
    if (!relay_form_label(&g->tunnel, relay_record_field(hash, "tunnel"), p))
        return relay_record_malformed(key, "tunnel", p, why);
    if (!relay_form_label(&g->relay, relay_record_field(hash, "relay"), p))
        return relay_record_malformed(key, "relay", p, why);
    if (!relay_time_parse(&g->expires, relay_record_field(hash, "expires")))
        return relay_record_malformed(key, "expires", p, why);
    if (!read_addrs(g, relay_record_field(hash, "listen"), p))
        return relay_record_malformed(key, "listen", p, why);
    return APR_SUCCESS;
}

apr_status_t relay_grant_find(relay_grant *grant, relay_store *s, const char *fingerprint,
                              apr_pool_t *p, const char **why)
{
    relay_grant found = {0};
    const char *key;
    redisReply *hash;
    apr_status_t rv = load(&hash, &key, s, RELAY_KEYNAME_GRANT, fingerprint, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if ((rv = read_grant(&found, hash, key, p, why)) == APR_SUCCESS)
        *grant = found;
    freeReplyObject(hash);
    return rv;
}

apr_status_t relay_grant_ended(const char **tunnel, int *closed, relay_store *s,
                               const char *fingerprint, apr_pool_t *p, const char **why)
{
    relay_gone gone;
    const char *key;
    redisReply *hash;
    apr_status_t rv = load(&hash, &key, s, RELAY_KEYNAME_GONE, fingerprint, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    relay_gone_read(&gone, hash, p);
    freeReplyObject(hash);
    if (!gone.tunnel)
        return RELAY_ENOTFOUND;
    *tunnel = gone.tunnel;
    *closed = gone.closed;
    return APR_SUCCESS;
}
