/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_secret.h"

#include <apr_general.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

apr_status_t relay_secret_random(char *out, apr_size_t n, apr_pool_t *p, const char **why)
{
    unsigned char *bytes = apr_palloc(p, n);
    apr_status_t rv = apr_generate_random_bytes(bytes, n);

    if (rv != APR_SUCCESS) {
        RELAY_WHY(why, p, "the kernel gives no random bytes");
        return rv;
    }
    for (apr_size_t i = 0; i < n; i++)
        out[i] = RELAY_SECRET_BASE32[bytes[i] & 31];
    out[n] = '\0';
    return APR_SUCCESS;
}

apr_status_t relay_secret_make(const char **out, char *id, const char *begins, apr_pool_t *p,
                               const char **why)
{
    char secret[RELAY_SECRET_SECRET_LEN + 1];
    apr_status_t rv;

    if ((rv = relay_secret_random(id, RELAY_SECRET_ID_LEN, p, why)) == APR_SUCCESS &&
        (rv = relay_secret_random(secret, RELAY_SECRET_SECRET_LEN, p, why)) == APR_SUCCESS)
        *out = apr_pstrcat(p, begins, id, "_", secret, NULL);
    return rv;
}

int relay_secret_parse(char *id, const char *begins, const char *text, apr_size_t len)
{
    apr_size_t start = strlen(begins), mark = start + RELAY_SECRET_ID_LEN;

    if (len != mark + 1 + RELAY_SECRET_SECRET_LEN || memcmp(text, begins, start) != 0)
        return 0;
    for (apr_size_t i = start; i < len; i++)
        if (!text[i] || (i == mark ? text[i] != '_' : !strchr(RELAY_SECRET_BASE32, text[i])))
            return 0;
    memcpy(id, text + start, RELAY_SECRET_ID_LEN);
    id[RELAY_SECRET_ID_LEN] = '\0';
    return 1;
}

const char *relay_secret_hash(const void *data, apr_size_t len, apr_pool_t *p)
{
    unsigned char digest[32];
    unsigned n = 0;
    char *text = apr_palloc(p, 2 * sizeof(digest) + 1);

    if (!EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) || n != sizeof(digest))
        abort(); /* a libcrypto without SHA-256 */
    for (n = 0; n < sizeof(digest); n++)
        apr_snprintf(text + (size_t)2 * n, 3, "%02x", digest[n]);
    return text;
}
