/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The files of relay.conf: itself, and the password files of the folder that [redis] passwords
 * names. That folder has a file for each part, PART; its first line is the password of the Redis
 * user relay-PART. For relay_config.c only.
 */
#ifndef RELAY_CONFIG_FILE_H
#define RELAY_CONFIG_FILE_H

#include "relay_config.h"
#include <apr_file_io.h>

/**
 * Opens a file for buffered reading; a folder is an error.
 * @param mode its permissions
 * @return APR_SUCCESS, or the error, with *why `PATH: cannot be read: …`
 */
apr_status_t relay_config_open(apr_file_t **out, apr_fileperms_t *mode, const char *path,
                               apr_pool_t *p, const char **why);

/** Warns where a file with a password in it has this mode and everybody can read it. */
void relay_config_warn_open(const char *path, apr_fileperms_t mode);

/**
 * Reads the part's password into cfg->redis, with its user.
 * @return APR_SUCCESS, RELAY_EINPUT or the error of opening the file, with *why
 */
apr_status_t relay_config_password(relay_config *cfg, const char *part, apr_pool_t *p,
                                   const char **why);

#endif
