/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Checks, as root, what the host must provide before sshd runs relay-authkeys at all. sshd's own
 * log only says `Unsafe AuthorizedKeysCommand`, and nothing where it gives up earlier.
 */
#ifndef HOSTCHECK_H
#define HOSTCHECK_H

#include "relay_config.h"

/**
 * Becomes the user that sshd runs the command as, for good, so that what follows has its rights.
 * @return APR_SUCCESS, or APR_EGENERAL with *why; then nothing has changed, or the caller must exit
 */
apr_status_t hostcheck_become(const char *user, apr_pool_t *p, const char **why);

/**
 * Checks what sshd demands of the program. Call it after hostcheck_become(): sshd judges with the
 * rights of the user who runs the program. The demands:
 * - an absolute path (servconf.c), which the user can reach;
 * - a regular file; with links resolved, root owns it and every directory above it, and nobody else
 *   can write there (misc.c, subprocess and safe_path). Debian's sshd lets root's group write where
 *   it has no other member (its patch user-group-modes);
 * - the user may execute it.
 * @param sshd the sshd that will judge; the check finds out whether it is Debian's
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_program(const char *path, const char *user, const char *sshd, apr_pool_t *p,
                               const char **why);

/**
 * Checks that the tunnel user can log in with UsePAM no: it exists and is not locked. (A lock is
 * seen only where the shadow file can be read.)
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_login(const char *user, apr_pool_t *p, const char **why);

/**
 * Checks that one device's refused logins lock out no other (PerSourcePenalties of OpenSSH 9.8 and
 * newer, on by default). A configuration that cannot be read is not judged.
 * @return APR_SUCCESS, or APR_EGENERAL with *why
 */
apr_status_t hostcheck_penalties(const char *sshd, const char *config, apr_pool_t *p,
                                 const char **why);

#endif
