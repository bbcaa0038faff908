/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The relay's own ssh host keys, to pin in bundles: read from the public halves that the `HostKey`
 * lines of relay.conf's sshd-config name. rlyd publishes them in `relay:<name>`; on the relay
 * itself rly can read them directly.
 */
#ifndef RELAY_HOSTKEYS_H
#define RELAY_HOSTKEYS_H

#include "relay_config.h"

/**
 * @param lines out: array of const char *, each `type base64`, in the order of the HostKey lines
 * @return APR_SUCCESS, or RELAY_ENOTFOUND with *why when there is none or the file cannot be read
 */
apr_status_t relay_hostkeys_read(apr_array_header_t **lines, const relay_config *cfg, apr_pool_t *p,
                                 const char **why);

#endif
