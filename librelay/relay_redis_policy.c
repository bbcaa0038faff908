/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_redis_policy.h"

#include <apr_strings.h>
#include <string.h>

#define POLICY_MAX 40

/** The value of a line `name:value`, up to the end of the line. @return its length; 0 if there is none */
static size_t value_of(const char *info, const char *name, const char **value)
{
    size_t len = strlen(name);
    const char *line = info;

    while (line) {
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            *value = line + len + 1;
            return strcspn(*value, "\r\n");
        }
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return 0;
}

const char *relay_redis_policy_evicts(const char *info, apr_pool_t *p)
{
    static const char never[] = "noeviction", letters[] = "abcdefghijklmnopqrstuvwxyz-";
    const char *limit, *policy;
    size_t n = value_of(info, "maxmemory", &limit), len;

    if (!n || strspn(limit, "0") >= n)
        return NULL;
    len = value_of(info, "maxmemory_policy", &policy);
    /* It goes into a log: a name, and nothing else. */
    if (!len || len > POLICY_MAX || strspn(policy, letters) < len)
        return NULL;
    return len == sizeof never - 1 && strncmp(policy, never, len) == 0 ? NULL : apr_pstrmemdup(p, policy, len);
}
