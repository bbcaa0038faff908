/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Where Redis is and how to log in there: the `[redis]` section of relay.conf, and a connection of
 * hiredis's made from it. Passwords stay in here: no message names them.
 */
#ifndef RELAY_REDIS_H
#define RELAY_REDIS_H

#include "relay.h"
#include <hiredis/hiredis.h>

typedef struct relay_redis_url {
    const char *unix_path; /* unix:///path, else NULL */
    const char *host;      /* redis://host, else NULL */
    int port;
    const char *user;     /* NULL: AUTH with the password alone */
    const char *password; /* NULL: no AUTH */
    int db;
    int tls;           /* rediss:// */
    const char *ca;    /* the authorities that may sign its certificate; NULL: the system's */
    const char *shown; /* the URL for messages, without user and password */
} relay_redis_url;

/**
 * Parses unix:///path[?db=N], unix://user:password@/path,
 * redis://[[user]:password@]host[:port][/db]. rediss:// is refused with a message when this build's
 * hiredis has no TLS.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_redis_url_parse(relay_redis_url **out, const char *text, apr_pool_t *p,
                                   const char **why);

/**
 * Connects, logs in and selects the database, the whole within `timeout` a step; each later command
 * on the connection has that deadline, too.
 * @param out to be freed by the caller with redisFree()
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_redis_connect(redisContext **out, const relay_redis_url *url,
                                 apr_interval_time_t timeout, apr_pool_t *p, const char **why);

/**
 * Starts TLS for rediss:// on a connection that the caller has just made itself, as rlyd does. The
 * server's certificate has to be url->host's own. On a connection that does not block the
 * handshake goes on with what is read and written; a certificate that is refused then ends it.
 * @return APR_SUCCESS; APR_ENOTIMPL where this build's hiredis has no TLS; or APR_EGENERAL with
 * c->errstr
 */
apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url);

/**
 * Explains an error reply of Redis to people (read-only replica, out of memory, wrong password,
 * missing right, still loading), from pool p: `cannot write to Redis at X: it is a
 * read-only replica …`.
 */
const char *relay_redis_explain(const relay_redis_url *url, const char *error, apr_pool_t *p);

/** The same for the answer to AUTH, which may hold the password: nothing of it is quoted. */
const char *relay_redis_explain_login(const relay_redis_url *url, const char *error, apr_pool_t *p);

#endif
