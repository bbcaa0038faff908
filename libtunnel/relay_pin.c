/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_pin.h"
#include "relay_hostkeys.h"
#include "relay_record.h"

#include <string.h>

int relay_pin_is_key(const char *line)
{
    size_t type = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-@."), b64;

    if (type == 0 || line[type] != ' ')
        return 0;
    line += type + 1;
    b64 = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=");
    return strncmp(line, "AAAA", 4) == 0 && line[b64] == '\0';
}

static apr_status_t read_record(apr_array_header_t *lines, const redisReply *record,
                                const char *key, apr_pool_t *p, const char **why)
{
    const char *text = relay_record_field(record, "hostkeys");
    char *rest = NULL;

    if (!text)
        return APR_SUCCESS;
    for (char *line = apr_strtok(apr_pstrdup(p, text), "\n", &rest); line;
         line = apr_strtok(NULL, "\n", &rest)) {
        if (!relay_pin_is_key(line))
            return relay_record_malformed(key, "hostkeys", p, why);
        APR_ARRAY_PUSH(lines, const char *) = line;
    }
    return APR_SUCCESS;
}

apr_status_t relay_pin_read(apr_array_header_t **lines, const relay_config *cfg, relay_store *s,
                            apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, RELAY_KEYNAME_RELAY, cfg->name);
    apr_array_header_t *found = apr_array_make(p, 3, sizeof(const char *));
    redisReply *record;
    apr_status_t rv = relay_record_load(&record, s, key, p, why);

    if (rv != APR_SUCCESS && rv != RELAY_ENOTFOUND)
        return rv;
    if (rv == APR_SUCCESS) {
        rv = read_record(found, record, key, p, why);
        freeReplyObject(record);
        if (rv != APR_SUCCESS)
            return rv;
    }
    if (found->nelts == 0)
        return relay_hostkeys_read(lines, cfg, p, why);
    *lines = found;
    return APR_SUCCESS;
}
