/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_record.h"
#include "relay_name.h"
#include "relay_needs.h"
#include "relay_service.h"

#include <apr_lib.h>
#include <string.h>

apr_status_t relay_record_load(redisReply **hash, relay_store *s, const char *key, apr_pool_t *p,
                               const char **why)
{
    const char *argv[] = {"HGETALL", key};
    relay_store_cmd cmd = {2, argv, NULL};
    redisReply *reply;
    apr_status_t rv = relay_store_read(s, &cmd, 1, &reply, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if ((rv = relay_record_check(reply, s, key, p, why)) != APR_SUCCESS) {
        freeReplyObject(reply);
        return rv;
    }
    *hash = reply;
    return APR_SUCCESS;
}

apr_status_t relay_record_check(const redisReply *reply, relay_store *s, const char *key,
                                apr_pool_t *p, const char **why)
{
    apr_status_t rv = relay_store_check(s, reply, key, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return RELAY_ENOTFOUND;
    return relay_record_version(reply, key, p, why);
}

apr_status_t relay_record_version(const redisReply *hash, const char *key, apr_pool_t *p,
                                  const char **why)
{
    apr_int64_t n = 0;

    if (!relay_number_parse(&n, relay_record_field(hash, "v"), 15) || n < 1) {
        RELAY_WHY(why, p, "record %s has no valid version (field v)", key);
        return RELAY_ERECORD;
    }
    if (n > RELAY_RECORD_VERSION) {
        RELAY_WHY(why, p,
                  "record %s has version %" APR_INT64_T_FMT
                  ", this program knows up to %d: upgrade it",
                  key, n, RELAY_RECORD_VERSION);
        return RELAY_ERECORD;
    }
    return APR_SUCCESS;
}

const char *relay_record_field(const redisReply *hash, const char *field)
{
    size_t i;

    if (hash->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (i = 0; i + 1 < hash->elements; i += 2) {
        const redisReply *k = hash->element[i], *v = hash->element[i + 1];

        if (k->type == REDIS_REPLY_STRING && v->type == REDIS_REPLY_STRING &&
            strcmp(k->str, field) == 0)
            return strlen(v->str) == (size_t)v->len ? v->str : NULL;
    }
    return NULL;
}

apr_status_t relay_record_malformed(const char *key, const char *field, apr_pool_t *p,
                                    const char **why)
{
    RELAY_WHY(why, p, "record %s is malformed: field %s", key, field);
    return RELAY_ERECORD;
}

/* ---- forms */

int relay_form_label(const char **out, const char *text, apr_pool_t *p)
{
    if (!text || relay_name_check(text, strlen(text), NULL, NULL) != APR_SUCCESS)
        return 0;
    *out = apr_pstrdup(p, text);
    return 1;
}

int relay_form_text(const char **out, const char *text, apr_pool_t *p)
{
    const char *c;

    if (!text)
        return 0;
    for (c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return 0;
    *out = apr_pstrdup(p, text);
    return 1;
}

int relay_form_scheme(const char **out, const char *text, apr_pool_t *p)
{
    if (!text || !relay_scheme_is_known(text))
        return 0;
    *out = apr_pstrdup(p, text);
    return 1;
}

int relay_form_listen(relay_listen_addr *out, const char *text, apr_pool_t *p)
{
    return text && relay_listen_addr_parse(out, text) == APR_SUCCESS;
}

int relay_form_time(apr_time_t *out, const char *text, apr_pool_t *p)
{
    return relay_time_parse(out, text);
}

int relay_form_host(const char **out, const char *text, apr_pool_t *p)
{
    return text && relay_needs_host_parse(out, text, p, NULL) == APR_SUCCESS;
}

int relay_form_protocols(const char **out, const char *text, apr_pool_t *p)
{
    return text && relay_needs_upgrade_parse(out, text, p, NULL) == APR_SUCCESS;
}

int relay_form_switch(int *out, const char *text, apr_pool_t *p)
{
    return text && relay_needs_switch_parse(out, text, p, NULL) == APR_SUCCESS;
}

int relay_form_number(apr_int64_t *out, const char *text, apr_pool_t *p)
{
    return relay_number_parse(out, text, 9);
}

int relay_number_parse(apr_int64_t *out, const char *text, apr_size_t digits)
{
    apr_size_t len = text ? strlen(text) : 0;

    if (len == 0 || len > digits || strspn(text, "0123456789") != len)
        return 0;
    *out = apr_atoi64(text);
    return 1;
}

int relay_time_parse(apr_time_t *out, const char *ms)
{
    apr_int64_t n;

    if (!relay_number_parse(&n, ms, 15))
        return 0;
    *out = n * 1000;
    return 1;
}
