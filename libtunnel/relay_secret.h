/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Secrets that somebody is given once, and of which Redis has the SHA-256 only: `KIND_ID_SECRET`
 * with an id of 80 and a secret of 260 random bits, which no program guesses.
 */
#ifndef RELAY_SECRET_H
#define RELAY_SECRET_H

#include "relay.h"

#define RELAY_SECRET_ID_LEN 16
#define RELAY_SECRET_SECRET_LEN 52
/** The length of one that begins with the literal `begins`. */
#define RELAY_SECRET_LEN(begins) \
    (sizeof(begins) - 1 + RELAY_SECRET_ID_LEN + 1 + RELAY_SECRET_SECRET_LEN)

/** Lower-case base32, as in names: what random bytes become. */
#define RELAY_SECRET_BASE32 "abcdefghijklmnopqrstuvwxyz234567"

/**
 * Random characters of base32, five bits each.
 * @param out n of them and a NUL
 * @return APR_SUCCESS, or an error with *why
 */
apr_status_t relay_secret_random(char *out, apr_size_t n, apr_pool_t *p, const char **why);

/**
 * Makes one.
 * @param begins `KIND_`
 * @param id out: RELAY_SECRET_ID_LEN + 1 bytes
 * @return APR_SUCCESS, or an error with *why
 */
apr_status_t relay_secret_make(const char **out, char *id, const char *begins, apr_pool_t *p,
                               const char **why);

/**
 * Whether text is one that begins so; it need not be terminated.
 * @param id out: RELAY_SECRET_ID_LEN + 1 bytes
 */
int relay_secret_parse(char *id, const char *begins, const char *text, apr_size_t len);

/** SHA-256 of bytes, in hexadecimal. */
const char *relay_secret_hash(const void *data, apr_size_t len, apr_pool_t *p);

#endif
