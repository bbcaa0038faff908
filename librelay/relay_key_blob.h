/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What relay_key.c and relay_key_generate.c share: the strings of SSH's wire format (RFC 4251,
 * section 5), and fingerprints. Nobody else includes it.
 */
#ifndef RELAY_KEY_BLOB_H
#define RELAY_KEY_BLOB_H

#include "relay_key.h"

#include <libssh/libssh.h>

/** Bytes that somebody else owns. */
typedef struct relay_span {
    const unsigned char *data;
    apr_size_t len;
} relay_span;

/** Takes one string, which its length stands before, off the front of blob.
 * @return whether it is there whole */
int relay_span_take(relay_span *out, relay_span *blob);

int relay_span_is(relay_span s, const char *text);

/** `SHA256:…` of a key, or NULL. */
const char *relay_key_fingerprint(ssh_key key, apr_pool_t *p);

#endif
