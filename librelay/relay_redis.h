/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A connection of hiredis's to the Redis of relay.conf: logged in and, where Sentinel knows the
 * primary, to that. No message names a password.
 */
#ifndef RELAY_REDIS_H
#define RELAY_REDIS_H

#include "relay_redis_url.h"
#include <hiredis/hiredis.h>

/**
 * Finds where to connect: the URL itself, or of sentinel:// the primary's (relay_sentinel_ask()).
 * For callers who need several connections to one server. They ask anew when one breaks.
 * @param at out: lives as long as url and p
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_redis_find(const relay_redis_url **at, const relay_redis_url *url,
                              apr_interval_time_t timeout, apr_pool_t *p, const char **why);

/**
 * Finds it, connects, logs in and selects the database, the whole within `timeout` a step; each
 * later command on the connection has that deadline, too. A server that Sentinel has named, but
 * that is no primary, is refused.
 * @param out to be freed by the caller with redisFree()
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_redis_connect(redisContext **out, const relay_redis_url *url,
                                 apr_interval_time_t timeout, apr_pool_t *p, const char **why);

/** What a server says of itself to ROLE. */
typedef enum {
    RELAY_ROLE_NONE, /* nothing that can be relied upon */
    RELAY_ROLE_PRIMARY,
    RELAY_ROLE_REPLICA, /* its link to the primary is up: it has all, or in a moment */
    RELAY_ROLE_BEHIND   /* a replica that may have anything: a part, what was once, nothing */
} relay_redis_role;

/** Reads the answer to ROLE, which may be NULL and of any form. */
relay_redis_role relay_redis_role_read(const redisReply *reply);

/**
 * Explains an error reply of Redis to people (read-only replica, out of memory, wrong password,
 * missing right, still loading), from pool p: `cannot write to Redis at X: it is a
 * read-only replica …`.
 */
const char *relay_redis_explain(const relay_redis_url *url, const char *error, apr_pool_t *p);

/** The same for the answer to AUTH, which may hold the password: nothing of it is quoted. */
const char *relay_redis_explain_login(const relay_redis_url *url, const char *error, apr_pool_t *p);

#endif
