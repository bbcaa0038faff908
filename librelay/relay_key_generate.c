/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Making a key pair, and writing its private half in OpenSSH's and in dropbear's format. */

#include "relay_key_blob.h"

#include <apr_encode.h>
#include <string.h>

/* Nothing of a private key is left behind in memory that a pool hands out again. */
static apr_status_t forget(void *data)
{
    explicit_bzero(data, strlen(data));
    return APR_SUCCESS;
}

#define PEM_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define PEM_END "-----END OPENSSH PRIVATE KEY-----\n"
/* What stands before the private part's length: magic, cipher none, kdf none, no options, one key,
 * the public key. */
#define ED25519_HEAD (15 + 8 + 8 + 4 + 4 + 4 + 51)
#define PADDING_TOO_MUCH 8

/* The bytes inside the PEM text of a private key, from pool p, for the caller to wipe; NULL if the
 * text is not as expected. */
static unsigned char *bytes_of_pem(const char *pem, apr_size_t *len, apr_pool_t *p)
{
    const char *text = pem + strlen(PEM_BEGIN), *end = strstr(text, PEM_END);
    apr_size_t room = strlen(pem) + 1, n64 = 0;
    char *b64 = apr_palloc(p, room);
    unsigned char *data = apr_palloc(p, room);
    int good;

    for (; end && text < end; text++)
        if (*text != '\n')
            b64[n64++] = *text;
    good = end && apr_decode_base64_binary(data, b64, (apr_ssize_t)n64, APR_ENCODE_NONE, len) ==
                      APR_SUCCESS;
    explicit_bzero(b64, n64);
    if (!good)
        explicit_bzero(data, room);
    return good ? data : NULL;
}

/*
 * libssh pads the private part to 16 bytes where the format has 8 for a key that is not encrypted;
 * OpenSSH does not mind, strict readers (asyncssh) refuse the file. The padding counts 1, 2, 3 …,
 * so its end can simply go.
 * @return the text with the least padding, from pool p, or pem itself when it is not of the
 * expected form
 */
static char *with_least_padding(const char *pem, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, pem), *b64 = apr_palloc(p, strlen(pem) + 1), *w;
    apr_size_t whole, n, n64;
    unsigned char *blob = bytes_of_pem(pem, &whole, p), *len;

    if (!blob)
        return out;
    len = blob + ED25519_HEAD;
    if (whole < ED25519_HEAD + 4 + 16 ||
        whole - ED25519_HEAD - 4 != ((apr_size_t)len[2] << 8 | len[3]) ||
        blob[whole - 1] <= PADDING_TOO_MUCH || blob[whole - 1] != blob[whole - 2] + 1)
        goto done;
    n = whole - PADDING_TOO_MUCH;
    len[2] = (unsigned char)((n - ED25519_HEAD - 4) >> 8);
    len[3] = (unsigned char)(n - ED25519_HEAD - 4);
    if (apr_encode_base64_binary(b64, blob, (apr_ssize_t)n, APR_ENCODE_NONE, NULL) != APR_SUCCESS)
        goto done;
    n64 = strlen(b64);
    w = out + strlen(PEM_BEGIN); /* shorter than what was there */
    for (apr_size_t i = 0; i < n64; i += 70, *w++ = '\n') {
        apr_size_t line = n64 - i < 70 ? n64 - i : 70;

        memcpy(w, b64 + i, line);
        w += line;
    }
    explicit_bzero(w, strlen(w));
    memcpy(w, PEM_END, sizeof(PEM_END));
    explicit_bzero(b64, n64);
done:
    explicit_bzero(blob, whole);
    return out;
}

#define PEM_MAGIC "openssh-key-v1"
#define DROPBEAR_TYPE \
    "\0\0\0\013ssh-ed25519\0\0\0\100" /* its name, and the length of what follows */
#define DROPBEAR_TYPE_LEN (sizeof(DROPBEAR_TYPE) - 1)
#define DROPBEAR_LEN (DROPBEAR_TYPE_LEN + 64)

static apr_status_t forget_dropbear(void *data)
{
    explicit_bzero(data, DROPBEAR_LEN);
    return APR_SUCCESS;
}

/* Finds the 64 bytes, private and public half, in an unencrypted ed25519 key (PROTOCOL.key in
 * OpenSSH's sources). */
static int find_private_half(relay_span blob, relay_span *out)
{
    relay_span field, inner;

    if (blob.len < sizeof(PEM_MAGIC) || memcmp(blob.data, PEM_MAGIC, sizeof(PEM_MAGIC)) != 0)
        return 0;
    blob.data += sizeof(PEM_MAGIC);
    blob.len -= sizeof(PEM_MAGIC);
    if (!relay_span_take(&field, &blob) || !relay_span_is(field, "none") ||
        !relay_span_take(&field, &blob) || !relay_span_take(&field, &blob) || blob.len < 4)
        return 0;
    blob.data += 4; /* how many keys: one */
    blob.len -= 4;
    if (!relay_span_take(&field, &blob) || !relay_span_take(&inner, &blob) || inner.len < 8)
        return 0;
    inner.data += 8; /* a number, twice, by which one sees that decryption went well */
    inner.len -= 8;
    return relay_span_take(&field, &inner) && relay_span_is(field, "ssh-ed25519") &&
           relay_span_take(&field, &inner) && relay_span_take(out, &inner) && out->len == 64;
}

/* The private key as dropbear's buf_put_ed25519_priv_key() writes it; NULL if the PEM text is not
 * as expected. */
static const unsigned char *dropbear_of(const char *pem, apr_pool_t *p)
{
    apr_size_t len;
    unsigned char *data = bytes_of_pem(pem, &len, p), *key = NULL;
    relay_span half;

    if (!data)
        return NULL;
    if (find_private_half((relay_span){data, len}, &half)) {
        key = apr_palloc(p, DROPBEAR_LEN);
        memcpy(key, DROPBEAR_TYPE, DROPBEAR_TYPE_LEN);
        memcpy(key + DROPBEAR_TYPE_LEN, half.data, half.len);
        apr_pool_cleanup_register(p, key, forget_dropbear, apr_pool_cleanup_null);
    }
    explicit_bzero(data, len);
    return key;
}

apr_status_t relay_key_generate(relay_key **out, apr_pool_t *p, const char **why)
{
    ssh_key pair = NULL;
    char *pem = NULL, *b64 = NULL;
    relay_key *key = apr_pcalloc(p, sizeof(*key));
    apr_status_t rv = APR_EGENERAL;

    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &pair) != SSH_OK) {
        RELAY_WHY(why, p, "libssh could not make an ed25519 key");
        goto out;
    }
    if (ssh_pki_export_privkey_base64(pair, NULL, NULL, NULL, &pem) != SSH_OK ||
        strncmp(pem, PEM_BEGIN, strlen(PEM_BEGIN)) != 0 ||
        ssh_pki_export_pubkey_base64(pair, &b64) != SSH_OK ||
        (key->private_dropbear = dropbear_of(pem, p)) == NULL ||
        (key->fingerprint = relay_key_fingerprint(pair, p)) == NULL) {
        RELAY_WHY(why, p, "libssh could not write the new key in OpenSSH's format");
        goto out;
    }
    key->public_line = apr_pstrcat(p, "ssh-ed25519 ", b64, NULL);
    key->private_pem = with_least_padding(pem, p);
    key->private_dropbear_len = DROPBEAR_LEN;
    apr_pool_cleanup_register(p, key->private_pem, forget, apr_pool_cleanup_null);
    *out = key;
    rv = APR_SUCCESS;
out:
    if (pem)
        explicit_bzero(pem, strlen(pem));
    ssh_string_free_char(pem);
    ssh_string_free_char(b64);
    ssh_key_free(pair);
    return rv;
}
