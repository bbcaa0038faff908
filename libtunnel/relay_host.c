/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_host.h"
#include "relay_name.h"
#include "relay_record.h"

#include <string.h>

/* Where each stands in a row of relays.lua. */
enum { NAME, HEARD, DRAINING, SINCE, BY, V, SSH, LOAD, SESSIONS, VERSIONS, NFIELDS };

apr_status_t relay_host_none(const char *name, apr_pool_t *p, const char **why)
{
    RELAY_WHY(why, p, "there is no relay named `%.80s'; its rlyd has to be heard once", name);
    return RELAY_ENOTFOUND;
}

static int is_load(const char *text)
{
    return strlen(text) < 16 && !text[strspn(text, "0123456789.")] && text[0] != '.' &&
           text[0] != '\0';
}

/* @return NULL where the row has not its form */
static relay_host *read_host(const redisReply *row, apr_pool_t *p)
{
    relay_host *h = apr_pcalloc(p, sizeof(*h));

    if (row->type != REDIS_REPLY_ARRAY || row->elements != NFIELDS)
        return NULL;
    if (!relay_form_label(&h->name, relay_script_word(row, NAME), p) ||
        (*relay_script_word(row, HEARD) &&
         !relay_time_parse(&h->heard, relay_script_word(row, HEARD))) ||
        !relay_form_switch(&h->draining, relay_script_word(row, DRAINING), p) ||
        (*relay_script_word(row, SINCE) &&
         !relay_time_parse(&h->since, relay_script_word(row, SINCE))) ||
        !relay_form_text(&h->by, relay_script_word(row, BY), p))
        return NULL;
    h->ssh = h->load = h->versions = "";
    h->sessions = -1;
    h->up = strcmp(relay_script_word(row, V), APR_STRINGIFY(RELAY_RECORD_VERSION)) == 0;
    if (!h->up)
        return h;
    relay_form_text(&h->ssh, relay_script_word(row, SSH), p);
    relay_form_text(&h->versions, relay_script_word(row, VERSIONS), p);
    relay_form_number(&h->sessions, relay_script_word(row, SESSIONS), p);
    if (is_load(relay_script_word(row, LOAD)))
        h->load = apr_pstrdup(p, relay_script_word(row, LOAD));
    return h;
}

static apr_status_t read_hosts(apr_array_header_t *hosts, const redisReply *reply, apr_pool_t *p,
                               const char **why)
{
    if (strcmp(relay_script_word(reply, 0), "ok") != 0)
        return relay_script_unknown(RELAY_SCRIPT_RELAYS, p, why);
    for (apr_size_t i = 1; i < reply->elements; i++) {
        relay_host *h = read_host(reply->element[i], p);

        if (!h)
            return relay_script_unknown(RELAY_SCRIPT_RELAYS, p, why);
        APR_ARRAY_PUSH(hosts, relay_host *) = h;
    }
    return APR_SUCCESS;
}

apr_status_t relay_hosts_read(apr_array_header_t **out, relay_store *s, const char *name,
                              apr_pool_t *p, const char **why)
{
    apr_array_header_t *hosts = apr_array_make(p, 4, sizeof(relay_host *));
    const char *arg = name ? name : "";
    redisReply *reply;
    apr_status_t rv;

    if (name && relay_name_check(name, strlen(name), NULL, NULL) != APR_SUCCESS)
        return relay_host_none(name, p, why);
    rv = relay_store_script(s, &reply, RELAY_SCRIPT_RELAYS, 1, &arg, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    rv = read_hosts(hosts, reply, p, why);
    freeReplyObject(reply);
    if (rv == APR_SUCCESS && name && hosts->nelts != 1)
        return relay_host_none(name, p, why);
    *out = hosts;
    return rv;
}

apr_status_t relay_host_drain(relay_store *s, const char *name, int draining,
                              const relay_actor *actor, apr_pool_t *p, const char **why)
{
    const char *args[] = {name, draining ? "on" : "off", actor->by, relay_actor_text(actor->from),
                          relay_actor_text(actor->request)};
    redisReply *reply;
    apr_status_t rv;

    if (relay_name_check(name, strlen(name), NULL, NULL) != APR_SUCCESS)
        return relay_host_none(name, p, why);
    rv = relay_store_script(s, &reply, RELAY_SCRIPT_DRAIN, 5, args, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(relay_script_word(reply, 0), "ok") != 0)
        rv = relay_host_none(name, p, why);
    freeReplyObject(reply);
    return rv;
}
