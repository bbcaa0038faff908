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

/** The keys' values: relay_config.def says what each means. */
typedef struct relay_config {
    const char *file; /* what was read */
#define KEY(section, key, members, ...) members;
#include "relay_config.def"
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
 * @param part who asks, which is the name of its file: web, authkeys, rlyd, rly or api; NULL: no
 * password is read
 * @return APR_SUCCESS; RELAY_EINPUT with *why `FILE:LINE: [section] key: …`; or the error of
 * opening a file
 */
apr_status_t relay_config_load(relay_config **out, const char *path, const char *part,
                               apr_pool_t *p, const char **why);

/**
 * Sets one key of [relay] as the file would: what another program says of its relay.conf.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_config_set(relay_config *cfg, const char *key, const char *value, apr_pool_t *p,
                              const char **why);

#endif
