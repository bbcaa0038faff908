/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What the host must provide before sshd runs the command at all. For --check, as root: sshd's own
 * log only says `Unsafe AuthorizedKeysCommand`, and nothing where it gives up earlier.
 */
#ifndef HOSTCHECK_H
#define HOSTCHECK_H

#include "relay_config.h"

/**
 * Becomes the user that sshd runs the command as, for good, so that what follows is tried with its
 * rights.
 * @return APR_SUCCESS, or APR_EGENERAL with *why; then nothing has changed, or the caller must exit
 */
apr_status_t hostcheck_become(const char *user, apr_pool_t *p, const char **why);

/**
 * Holds the program against what sshd demands of it, with the rights of the user who runs it, as
 * sshd does: to be called after hostcheck_become(). An absolute path (servconf.c); the user gets to
 * it; a regular file, it and every directory above it, as they are without links, owned by root and
 * writable by nobody else (misc.c, subprocess and safe_path); and the user may execute it. Debian's
 * sshd, as its patch user-group-modes has it, lets root's group write where nobody but root is in
 * it.
 * @param sshd the program that will judge; it is looked at for whether it is Debian's
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_program(const char *path, const char *user, const char *sshd, apr_pool_t *p,
                               const char **why);

/**
 * Whether the tunnel user can log in with UsePAM no: it exists and, where the shadow file can be
 * read, is not locked.
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_login(const char *user, apr_pool_t *p, const char **why);

#endif
