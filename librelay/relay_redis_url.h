/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Where Redis is and how to log in there: the URLs of relay.conf's section `[redis]`. Passwords
 * stay in here: no message names them.
 */
#ifndef RELAY_REDIS_URL_H
#define RELAY_REDIS_URL_H

#include "relay.h"

#define RELAY_SENTINELS_MAX 9

typedef struct relay_redis_sentinel {
    const char *host; /* an address */
    int port;
} relay_redis_sentinel;

typedef struct relay_redis_url {
    const char *unix_path; /* unix:///path, else NULL */
    const char *host;      /* redis://host, else NULL */
    int port;
    const char *user;     /* NULL: AUTH with the password alone */
    const char *password; /* NULL: no AUTH */
    int db;
    int tls;             /* rediss:// and sentinels:// */
    const char *ca;      /* the authorities that may sign its certificate; NULL: the system's */
    const char *shown;   /* the URL for messages, without user and password */
    const char *primary; /* sentinel://…/NAME: by which the sentinels know it; else NULL */
    int nsentinels;
    relay_redis_sentinel sentinels[RELAY_SENTINELS_MAX];
    int named; /* Sentinel says that the primary is here, so it has to say so itself */
} relay_redis_url;

/**
 * Parses unix:///path[?db=N], unix://user:password@/path,
 * redis://[[user]:password@]host[:port][/db], and
 * sentinel://[[user]:password@]address[:port],…/name[/db]. rediss:// and sentinels:// are the same
 * by TLS, and refused with a message when hiredis's TLS cannot be loaded (relay_libssl.h).
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_redis_url_parse(relay_redis_url **out, const char *text, apr_pool_t *p,
                                   const char **why);

/** Whether a host is given by its address, so that no name has to be looked up. */
int relay_redis_is_address(const char *host);

/** A copy, all of which is in pool p. */
relay_redis_url *relay_redis_url_copy(const relay_redis_url *url, apr_pool_t *p);

/** The URL of a server that Sentinel has named: all of it is in pool p. */
relay_redis_url *relay_redis_url_at(const relay_redis_url *url, const char *host, int port,
                                    apr_pool_t *p);

#endif
