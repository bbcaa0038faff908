/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_route.h"
#include "relay_duration.h"
#include "relay_gone.h"
#include "relay_keyname.h"
#include "relay_needs.h"
#include "relay_service.h"

#include <string.h>

/* A field's text, or what stands for it where it is missing or empty. */
static const char *text_of(const redisReply *hash, const char *field, const char *absent)
{
    const char *text = relay_record_field(hash, field);

    return text && *text ? text : absent;
}

/* As the form has it; `absent' may be "" for a string that is empty then. */
#define READ_STRING(field, form, absent) \
    text = text_of(hash, #field, absent); \
    if (text && !*text) \
        r->field = ""; \
    else if (!relay_form_##form(&r->field, text, p)) \
        return relay_record_malformed(key, #field, p, why);
#define READ_VALUE(type, field, form, absent) \
    if (!relay_form_##form(&r->field, text_of(hash, #field, absent), p)) \
        return relay_record_malformed(key, #field, p, why);

/* @return NULL where the service is asked for and is none */
static const char *authority_of(const relay_route *r, apr_pool_t *p)
{
    relay_service *service;

    if (strcmp(r->host, RELAY_HOST_PUBLIC) == 0)
        return "";
    if (strcmp(r->host, RELAY_HOST_DEVICE))
        return r->host;
    if (relay_service_parse(&service, r->service, p, NULL) != APR_SUCCESS)
        return NULL;
    return service->url + strlen(service->scheme) + strlen("://");
}

apr_status_t relay_route_read(relay_route *route, const redisReply *hash, const char *name,
                              const char *key, apr_pool_t *p, const char **why)
{
    relay_route found = {.name = apr_pstrdup(p, name)}, *r = &found;
    apr_status_t rv = relay_record_version(hash, key, p, why);
    const char *text;

    if (rv != APR_SUCCESS)
        return rv;
    RELAY_ROUTE_FIELDS(READ_STRING, READ_VALUE)
    if ((found.authority = authority_of(&found, p)) == NULL)
        return relay_record_malformed(key, "service", p, why);
    found.origin =
        apr_pstrcat(p, found.scheme, "://", relay_listen_addr_print(found.listen, p), NULL);
    *route = found;
    return APR_SUCCESS;
}

/* What would outlive us is asked for again: no arithmetic with it overflows. */
static apr_interval_time_t span_of(long long ms)
{
    return ms < apr_time_as_msec(RELAY_DURATION_MAX) ? apr_time_from_msec(ms) : RELAY_DURATION_MAX;
}

apr_status_t relay_route_find(relay_route *route, relay_store *s, const char *name,
                              const char **gone, apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, RELAY_KEYNAME_ROUTE, name),
               *gone_key = relay_store_key(s, p, RELAY_KEYNAME_GONE, name);
    const char *get[] = {"HGETALL", key}, *ttl[] = {"PTTL", key},
               *get_gone[] = {"HGETALL", gone_key};
    relay_store_cmd cmds[] = {{2, get, NULL}, {2, ttl, NULL}, {2, get_gone, NULL}};
    relay_route found = {0};
    relay_gone ended;
    redisReply *r[3];
    apr_status_t rv;

    if ((rv = relay_store_read(s, cmds, 3, r, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, r[0], key, p, why)) != APR_SUCCESS ||
        (rv = relay_store_check(s, r[1], NULL, p, why)) != APR_SUCCESS ||
        (rv = relay_store_check(s, r[2], gone_key, p, why)) != APR_SUCCESS)
        goto out;
    /* PTTL is -2 when the key has expired between the two, -1 when it would live for ever. */
    if (r[0]->type != REDIS_REPLY_ARRAY || r[0]->elements == 0 ||
        r[1]->type != REDIS_REPLY_INTEGER || r[1]->integer == -2 || r[1]->integer == 0) {
        if ((rv = relay_record_check(r[2], s, gone_key, p, why)) == APR_SUCCESS) {
            relay_gone_read(&ended, r[2], p);
            *gone = ended.closed ? "closed" : "expired";
            rv = RELAY_EGONE;
        }
        goto out;
    }
    if ((rv = relay_route_read(&found, r[0], name, key, p, why)) != APR_SUCCESS)
        goto out;
    if (r[1]->integer < 0) {
        RELAY_WHY(why, p, "record %s is malformed: it has no expiry", key);
        rv = RELAY_ERECORD;
        goto out;
    }
    found.lives = span_of(r[1]->integer);
    *route = found;
out:
    relay_store_free(r, 3);
    return rv;
}

apr_status_t relay_route_check(const relay_route *route, const relay_config *cfg, apr_pool_t *p,
                               const char **why)
{
    if (strcmp(route->relay, cfg->name)) {
        RELAY_WHY(why, p, "tunnel %s is on relay %s, this is %s", route->tunnel, route->relay,
                  cfg->name);
        return RELAY_ERECORD;
    }
    if (!relay_listen_contains(cfg->listen, route->listen)) {
        RELAY_WHY(why, p,
                  "tunnel %s has the listen address %s, which is outside [relay] listen (%s)",
                  route->tunnel, relay_listen_addr_print(route->listen, p), cfg->listen->text);
        return RELAY_ERECORD;
    }
    return APR_SUCCESS;
}

/* ---- in one piece */

/* All of its strings, as an array of const char **; the list cannot forget one. */
#define ADDRESS(field, form, absent) &(route)->field,
#define NOTHING(type, field, form, absent)
#define STRINGS(route) \
    { \
        RELAY_ROUTE_FIELDS(ADDRESS, NOTHING) RELAY_ROUTE_MADE(ADDRESS) \
    }
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

apr_size_t relay_route_packed_size(const relay_route *route)
{
    const char *const *const strings[] = STRINGS(route);
    apr_size_t i, size = sizeof(relay_route_packed);

    for (i = 0; i < COUNT_OF(strings); i++)
        size += *strings[i] ? strlen(*strings[i]) + 1 : 0;
    return size;
}

void relay_route_pack(relay_route_packed *to, const relay_route *from)
{
    relay_route *route = &to->route;
    const char **const strings[] = STRINGS(route);
    char *end = to->text;
    apr_size_t i;

    *route = *from;
    for (i = 0; i < COUNT_OF(strings); i++) {
        apr_size_t size = *strings[i] ? strlen(*strings[i]) + 1 : 0;

        if (size)
            *strings[i] = memcpy(end, *strings[i], size);
        end += size;
    }
    to->length = (apr_size_t)(end - to->text);
}

void relay_route_unpack(relay_route *route, const relay_route_packed *from, apr_pool_t *p)
{
    const char **const strings[] = STRINGS(route);
    const char *text = apr_pmemdup(p, from->text, from->length);
    apr_size_t i;

    *route = from->route;
    for (i = 0; i < COUNT_OF(strings); i++)
        if (*strings[i])
            *strings[i] = text + (*strings[i] - from->text);
}
