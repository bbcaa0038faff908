/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The text of a bundle's ssh configuration.
 */
#ifndef RLY_SSHCONFIG_H
#define RLY_SSHCONFIG_H

#include "rly.h"

/**
 * A file's name as ssh_config takes it in IdentityFile and UserKnownHostsFile: quoted, and safe
 * from ssh's own expansions.
 * @return NULL, with *why, where ssh has no way to write it
 */
const char *rly_sshconfig_path(const char *path, apr_pool_t *p, const char **why);

/**
 * @param dir the bundle's absolute path, for which rly_sshconfig_path() works
 * @param private_file of a key that was read: another place of its private half, as a word of
 * ssh_config; or NULL
 * @param own_key whether the bundle holds the private key: then ssh never has to ask for anything
 * @param tls whether SSH goes inside TLS, to the HTTPS port
 * @return NULL, with *why, when a service cannot be written
 */
const char *rly_sshconfig_text(const relay_config *cfg, const relay_tunnel *t, const char *dir,
                               const char *private_file, int own_key, int tls, apr_pool_t *p,
                               const char **why);

#endif
