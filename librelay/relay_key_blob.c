/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_key_blob.h"

#include <string.h>

int relay_span_take(relay_span *out, relay_span *blob)
{
    apr_size_t len;

    if (blob->len < 4)
        return 0;
    len = (apr_size_t)blob->data[0] << 24 | (apr_size_t)blob->data[1] << 16 |
          (apr_size_t)blob->data[2] << 8 | blob->data[3];
    if (len > blob->len - 4)
        return 0;
    out->data = blob->data + 4;
    out->len = len;
    blob->data += 4 + len;
    blob->len -= 4 + len;
    return 1;
}

int relay_span_is(relay_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

const char *relay_key_fingerprint(ssh_key key, apr_pool_t *p)
{
    unsigned char *hash = NULL;
    size_t len = 0;
    char *text;
    const char *result = NULL;

    if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &len) != 0)
        return NULL;
    if ((text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, len)) != NULL)
        result = apr_pstrdup(p, text);
    ssh_string_free_char(text);
    ssh_clean_pubkey_hash(&hash);
    return result;
}
