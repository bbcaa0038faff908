/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_redis_policy.h"

#include <apr_strings.h>
#include <string.h>

#define POLICY_MAX 64

/* The value of a line `name:value`; *length without the line's end. NULL when there is none. */
static const char *field(const char *info, const char *name, size_t *length)
{
    size_t skip = strlen(name);
    const char *line;

    for (line = info; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, name, skip) || line[skip] != ':')
            continue;
        *length = strcspn(line + skip + 1, "\r\n");
        return line + skip + 1;
    }
    return NULL;
}

const char *relay_redis_evicts_by(const char *info, apr_pool_t *p)
{
    static const char keeps[] = "noeviction";
    size_t digits = 0, length = 0;
    const char *most = field(info, "maxmemory", &digits),
               *policy = field(info, "maxmemory_policy", &length);

    if (!most || !policy || strspn(most, "0") >= digits) /* 0: as much as there is */
        return NULL;
    if (!length || length > POLICY_MAX || strspn(policy, "abcdefghijklmnopqrstuvwxyz-") != length)
        return NULL;
    if (length == sizeof(keeps) - 1 && strncmp(policy, keeps, length) == 0)
        return NULL;
    return apr_pstrmemdup(p, policy, length);
}

const char *relay_redis_evicts(redisContext *ctx, apr_pool_t *p)
{
    redisReply *reply = redisCommand(ctx, "INFO memory");
    const char *policy = NULL;

    if (reply && reply->type == REDIS_REPLY_STRING && reply->str)
        policy = relay_redis_evicts_by(reply->str, p);
    if (reply)
        freeReplyObject(reply);
    return policy;
}
