/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Device keys: making an ed25519 pair, and reading a device's own public key strictly. The one part
 * of librelay that needs libssh, kept as a library of its own (librelay_key) so that httpd does not
 * load it.
 */
#ifndef RELAY_KEY_H
#define RELAY_KEY_H

#include "relay.h"

typedef struct relay_key {
    const char *fingerprint; /* SHA256:… as sshd prints it */
    const char *public_line; /* `type base64`, without comment or newline */
    const char *private_pem; /* in OpenSSH's format, not encrypted; NULL for a key that was read */
    const unsigned char
        *private_dropbear; /* the same in dropbear's format; NULL for a key that was read */
    apr_size_t private_dropbear_len;
} relay_key;

/** Makes a pair. @return APR_SUCCESS, or APR_EGENERAL with *why */
apr_status_t relay_key_generate(relay_key **out, apr_pool_t *p, const char **why);

/**
 * Reads one public key line: `type base64 [comment]`, of ssh-ed25519,
 * ecdsa-sha2-nistp{256,384,521}, ssh-rsa (2048 bits or more) and the two sk- types. Refuses, and
 * says why: options before the type, more than one line, CR, NUL, private keys, unknown types,
 * certificates, wrong base64, a blob that is not the type's.
 * @param text the file's bytes, len of them; one final newline is allowed
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_key_parse(relay_key **out, const char *text, apr_size_t len, apr_pool_t *p,
                             const char **why);

/** Reads a public key file with relay_key_parse(); at most 16 kB.
 * @return as that, or the error of reading, with *why */
apr_status_t relay_key_read(relay_key **out, const char *path, apr_pool_t *p, const char **why);

#endif
