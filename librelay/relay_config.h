/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * relay.conf: one INI file for all parts. Every key has a default but [relay] name and domain.
 * An unknown section or key, a bad value or an unreadable file is an error that names file, line
 * and key.
 */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include "relay.h"
#include "relay_listen.h"
#include "relay_redis.h"

typedef struct relay_config {
    const char *file;
    /* [relay] */
    const char *name;     /* this relay: a DNS label */
    const char *domain;   /* routes answer at NAME.domain; lower case, no dots at its ends */
    const char *ssh_host; /* `ssh`: where devices connect; default domain:443 */
    apr_uint16_t ssh_port;
    const char *user;             /* the login name of devices; default relay */
    relay_listen_space *listen;   /* default 127.64.0.0/10:10000-59999 */
    apr_interval_time_t cooldown; /* before an address may come back; default 15m */
    apr_interval_time_t ttl;      /* a tunnel's lifetime when none is asked for; default 2h */
    apr_interval_time_t ttl_max;  /* default 30d */
    int https_port; /* `https-port`, default 443: of Apache: in the URLs that rly prints, and for
                       --tls */
    /* [redis] */
    relay_redis_url *redis;            /* default unix:///run/redis/redis-server.sock */
    apr_interval_time_t redis_timeout; /* default 500ms, at least 1ms */
    const char *prefix;                /* of every key; default `relay:` */
    const char *passwords; /* a folder with a file for each part, PART: the password of the Redis
                              user relay-PART; NULL, the default: the login that url has, or none */
    /* [rlyd] */
    const char *rlyd_socket;  /* default /run/relay/rlyd.sock */
    const char *sshd;         /* default /usr/sbin/sshd */
    const char *sshd_config;  /* default $(sysconfdir)/relay/sshd_config */
    const char *rlyd_pidfile; /* `pid-file`, default /run/relay/rlyd.pid */
    const char *rlyd_users; /* `users`: who may talk to the socket besides root: names separated by
                                     spaces; default `www-data relay-authkeys` */
    int max_startups_start, max_startups_rate,
        max_startups_full; /* `max-startups`, default 100:30:500 */
    const char *sshd_log;  /* `sshd-log`: the file that handed-off sshd processes log to (sshd -E);
                              NULL,  the default: syslog */
    int merge; /* `merge`, on or off: samepage merging for handed-off sshd; default off */
    int per_source_startups; /* `per-source-startups`: unauthenticated at once from one IPv4 address
                                or IPv6 /64; default 20; 0: no limit */
} relay_config;

/**
 * The default path: RELAY_CONF_DEFAULT, compiled in from $(sysconfdir)/relay/relay.conf.
 */
const char *relay_config_default_path(void);

/**
 * Reads and checks the file, and the part's password where [redis] passwords names a folder:
 * out->redis has the login then. Warns through relay_log where a file with a password in it can be
 * read by everybody.
 * @param path the file; NULL means the default path
 * @param part who asks, which is the name of its file: web, authkeys, rlyd or rly; NULL: no
 * password is read
 * @return APR_SUCCESS; RELAY_EINPUT with *why `FILE:LINE: [section] key: …`; or the error of
 * opening a file
 */
apr_status_t relay_config_load(relay_config **out, const char *path, const char *part,
                               apr_pool_t *p, const char **why);

#endif
