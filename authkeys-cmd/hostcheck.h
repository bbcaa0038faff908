/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What the host must provide before sshd runs the command at all. For --check, as root: sshd's own log only says
 * `Unsafe AuthorizedKeysCommand`, and nothing where it gives up earlier.
 */
#ifndef HOSTCHECK_H
#define HOSTCHECK_H

#include "relay_config.h"

/**
 * Holds the program against what sshd demands of it (misc.c, safe_path): a regular file, it and every directory above
 * it owned by root and writable by nobody else; and that the user who runs it can.
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_program(const char *path, apr_pool_t *p, const char **why);

/**
 * Becomes the user that sshd runs the command as, for good, so that what follows is tried with its rights.
 * @return APR_SUCCESS, or APR_EGENERAL with *why; then nothing has changed, or the caller must exit
 */
apr_status_t hostcheck_become(const char *user, apr_pool_t *p, const char **why);

/**
 * Whether the tunnel user can log in with UsePAM no: it exists and, where the shadow file can be read, is not locked.
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_login(const char *user, apr_pool_t *p, const char **why);

#endif
