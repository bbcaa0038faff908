/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The bundle: the folder that a device is given. It is made in two steps: all that can fail does so
 * before a tunnel is opened, and the bundle appears under its own name only when it is whole.
 */
#ifndef RLY_BUNDLE_H
#define RLY_BUNDLE_H

#include "rly.h"
#include "relay_key.h"

#include <apr_tables.h>

typedef struct rly_bundle rly_bundle;

typedef struct rly_bundle_request {
    const char *dir;      /* -o; NULL: ./relay-ID */
    const relay_key *key; /* without private_pem: the device has it */
    const char
        *private_file; /* the private half of a key that was read, where it is known; or NULL */
    int tls;           /* --tls: through TLS on the HTTPS port */
} rly_bundle_request;

/**
 * Checks that the bundle can be made, and writes what is known already into a temporary directory
 * beside it. Signals that would end the program are held back from here until finish or abandon.
 * @return APR_SUCCESS, or an error with *why; nothing is left behind then
 */
apr_status_t rly_bundle_prepare(rly_bundle **out, const rly_bundle_request *req, apr_pool_t *p,
                                const char **why);

/**
 * Writes the ssh configuration and the relay's host keys, and gives the bundle its name.
 * @param hostkeys const char *, `type base64`; ssh looks them up under the relay's name
 * @param path out: its absolute path
 * @return APR_SUCCESS, or an error with *why; nothing is left behind then
 */
apr_status_t rly_bundle_finish(rly_bundle *b, const relay_config *cfg, const relay_tunnel *t,
                               const apr_array_header_t *hostkeys, const char **path,
                               const char **why);

/** Removes what was prepared. b may be NULL. */
void rly_bundle_abandon(rly_bundle *b);

#endif
