/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A public key is read twice: first by the table below, which knows what RFC 4253, 5656, 8709 and
 * OpenSSH's PROTOCOL.u2f put into each type's blob and can say what is wrong with it; then by
 * libssh, which knows whether a point lies on its curve. What libssh writes back must be what came
 * in: sshd fingerprints a key as it would write it itself, so a blob with a second spelling would
 * be granted under a fingerprint that sshd never asks for.
 */
#include "relay_key.h"

#include <apr_encode.h>
#include <errno.h>
#include <fcntl.h>
#include <libssh/libssh.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 16384
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 16384
#define RSA_EXPONENT_BITS_MAX 64 /* OpenSSL refuses to verify with more */
#define APPLICATION_MAX 1024

#define KEY_TYPES \
    "ssh-ed25519, ecdsa-sha2-nistp256, -nistp384, -nistp521, ssh-rsa, " \
    "sk-ssh-ed25519@openssh.com and sk-ecdsa-sha2-nistp256@openssh.com"

/* What a type's blob holds after its name: one letter a field, see check_field(). */
typedef struct key_type {
    const char *name;
    const char *fields;
    const char *curve;
    apr_size_t point_len; /* 0x04, x, y */
} key_type;

static const key_type key_types[] = {
    {"ssh-ed25519", "k", NULL, 0},
    {"ecdsa-sha2-nistp256", "cp", "nistp256", 65},
    {"ecdsa-sha2-nistp384", "cp", "nistp384", 97},
    {"ecdsa-sha2-nistp521", "cp", "nistp521", 133},
    {"ssh-rsa", "en", NULL, 0},
    {"sk-ssh-ed25519@openssh.com", "ka", NULL, 0},
    {"sk-ecdsa-sha2-nistp256@openssh.com", "cpa", "nistp256", 65},
};

typedef struct span {
    const unsigned char *data;
    apr_size_t len;
} span;

static const key_type *type_by_name(const char *name, apr_size_t len)
{
    for (apr_size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++)
        if (strlen(key_types[i].name) == len && memcmp(key_types[i].name, name, len) == 0)
            return &key_types[i];
    return NULL;
}

/* Takes one length-prefixed string off the front of blob. */
static int take_string(span *blob, span *out)
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

static int span_is(span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* The bits of a positive integer in its one right spelling (RFC 4251, section 5), or 0. */
static apr_size_t mpint_bits(span s)
{
    apr_size_t bits;

    if (s.len == 0 || s.data[0] & 0x80)
        return 0;
    if (s.data[0] == 0) {
        if (s.len == 1 || !(s.data[1] & 0x80))
            return 0;
        s.data++;
        s.len--;
    }
    bits = s.len * 8;
    for (unsigned char mask = 0x80; mask && !(s.data[0] & mask); mask >>= 1)
        bits--;
    return bits;
}

/* Checks one field; returns what is wrong with it, or NULL. */
static const char *check_field(char kind, span f, const key_type *t, apr_pool_t *p)
{
    apr_size_t bits;

    switch (kind) {
    case 'k': /* an Edwards point */
        return f.len == 32 ? NULL : "its key is not 32 bytes long";
    case 'c':
        return span_is(f, t->curve) ? NULL : "it names another curve than its type does";
    case 'p':
        if (f.len != t->point_len)
            return "its point is not of its curve's length";
        return f.data[0] == 4 ? NULL : "its point is not in the uncompressed form";
    case 'e':
        bits = mpint_bits(f);
        return bits >= 2 && bits <= RSA_EXPONENT_BITS_MAX && f.data[f.len - 1] & 1
                   ? NULL
                   : "its exponent cannot be right";
    case 'n':
        bits = mpint_bits(f);
        if (bits == 0 || !(f.data[f.len - 1] & 1))
            return "its modulus cannot be right";
        if (bits < RSA_BITS_MIN)
            return apr_psprintf(p, "it has %" APR_SIZE_T_FMT " bits, and at least %d are needed",
                                bits, RSA_BITS_MIN);
        return bits <= RSA_BITS_MAX ? NULL
                                    : apr_psprintf(p, "it has more than %d bits", RSA_BITS_MAX);
    case 'a': /* the application that a security key signs for, `ssh:` by default */
        if (f.len == 0 || f.len > APPLICATION_MAX || memchr(f.data, 0, f.len))
            return "its application cannot be right";
        return NULL;
    }
    return "its type is not known";
}

/* Returns what is wrong with a blob, or NULL. */
static const char *check_blob(span blob, const key_type *t, apr_pool_t *p)
{
    span field;

    if (!take_string(&blob, &field))
        return "it is cut short";
    if (!span_is(field, t->name))
        return "the key in it is of another type than the line says";
    for (const char *kind = t->fields; *kind; kind++) {
        const char *wrong;

        if (!take_string(&blob, &field))
            return "it is cut short";
        if ((wrong = check_field(*kind, field, t, p)) != NULL)
            return wrong;
    }
    return blob.len == 0 ? NULL : "there are bytes after its end";
}

static const char *fingerprint_of(ssh_key key, apr_pool_t *p)
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

/* Lets libssh read the key and write it again; returns its fingerprint, or NULL. */
static const char *import(const key_type *t, const char *b64, apr_pool_t *p)
{
    ssh_key key = NULL;
    char *again = NULL;
    const char *fingerprint = NULL;

    if (ssh_pki_import_pubkey_base64(b64, ssh_key_type_from_name(t->name), &key) == SSH_OK &&
        ssh_pki_export_pubkey_base64(key, &again) == SSH_OK && strcmp(again, b64) == 0)
        fingerprint = fingerprint_of(key, p);
    ssh_string_free_char(again);
    ssh_key_free(key);
    return fingerprint;
}

/* Decodes base64 in its one right spelling: APR's decoder alone would take a
 * text without its `=`. */
static int decode(span *blob, const char *b64, apr_size_t len, apr_pool_t *p)
{
    unsigned char *data = apr_palloc(p, len + 1);
    const char *again;

    if (len == 0 || apr_decode_base64_binary(data, b64, (apr_ssize_t)len, APR_ENCODE_NONE,
                                             &blob->len) != APR_SUCCESS)
        return 0;
    blob->data = data;
    again = apr_pencode_base64_binary(p, data, (apr_ssize_t)blob->len, APR_ENCODE_NONE, NULL);
    return again != NULL && strlen(again) == len && memcmp(again, b64, len) == 0;
}

static int starts_with(const char *text, apr_size_t len, const char *start)
{
    apr_size_t n = strlen(start);

    return len >= n && memcmp(text, start, n) == 0;
}

static apr_size_t word_length(const char *text, apr_size_t len)
{
    apr_size_t n = 0;

    while (n < len && text[n] != ' ' && text[n] != '\t')
        n++;
    return n;
}

/* Whether a later word of the line is a type: then options stand before it. */
static int has_options(const char *line, apr_size_t len)
{
    for (apr_size_t at = 0; at < len; at++) {
        apr_size_t n = word_length(line + at, len - at);

        if (at > 0 && type_by_name(line + at, n))
            return 1;
        at += n;
    }
    return 0;
}

/* What is wrong with the bytes as a text of one line, or NULL. */
static const char *check_text(const char *text, apr_size_t len)
{
    if (len == 0)
        return "it is empty";
    if (len > KEY_FILE_MAX)
        return "it is too long to be a public key";
    if (starts_with(text, len, "-----BEGIN PUBLIC KEY") ||
        starts_with(text, len, "-----BEGIN RSA PUBLIC KEY"))
        return "it is in PEM format; convert it with: ssh-keygen -i -m PKCS8 -f FILE (or -m PEM)";
    if (starts_with(text, len, "-----BEGIN ") || starts_with(text, len, "PuTTY-User-Key-File-"))
        return "it is a private key; give the public one, the file that ends in .pub, and keep "
               "this one secret";
    if (starts_with(text, len, "---- BEGIN SSH2 PUBLIC KEY"))
        return "it is in the format of RFC 4716; convert it with: ssh-keygen -i -f FILE";
    if (memchr(text, 0, len))
        return "there is a NUL byte in it";
    if (memchr(text, '\r', len))
        return "there is a carriage return in it; remove the line ends of Windows, for example "
               "with: tr -d '\\r'";
    if (memchr(text, '\n', len))
        return "there is more than one line in it; give one public key alone";
    for (apr_size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return "there is a control character in it";
    if (text[0] == ' ' || text[0] == '\t')
        return "it starts with a space; a public key is a line `type base64 comment`";
    return NULL;
}

/* Why the first word is not a type that is taken. The word is shown only where it looks like a
 * type's name: it could be half of a secret that was pasted by mistake. */
static const char *explain_type(const char *line, apr_size_t len, apr_size_t word, apr_pool_t *p)
{
    static const char cert[] = "-cert-v01@openssh.com";
    const char *name;

    if (has_options(line, len))
        return "there are options before the key's type; remove them";
    if (word >= sizeof(cert) &&
        memcmp(line + word - (sizeof(cert) - 1), cert, sizeof(cert) - 1) == 0)
        return "it is a certificate; give the plain public key";
    if (word == 7 && memcmp(line, "ssh-dss", 7) == 0)
        return "DSA keys are not taken any more; make another: ssh-keygen -t ed25519";
    name = apr_pstrmemdup(p, line, word);
    if (word > 60 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-@.") != word)
        return "it does not start with a key's type; a public key is a line `type base64 comment`";
    return apr_psprintf(p, "keys of the type %s are not taken; those that are: " KEY_TYPES, name);
}

static apr_status_t refuse(apr_pool_t *p, const char **why, const char *reason)
{
    RELAY_WHY(why, p, "not a public key that can be used: %s", reason);
    return RELAY_EINPUT;
}

apr_status_t relay_key_parse(relay_key **out, const char *text, apr_size_t len, apr_pool_t *p,
                             const char **why)
{
    const key_type *t;
    const char *wrong, *b64, *fingerprint;
    apr_size_t word, b64_len;
    relay_key *key;
    span blob;

    if (len > 0 && text[len - 1] == '\n')
        len--;
    if ((wrong = check_text(text, len)) != NULL)
        return refuse(p, why, wrong);
    word = word_length(text, len);
    if ((t = type_by_name(text, word)) == NULL)
        return refuse(p, why, explain_type(text, len, word, p));
    while (word < len && (text[word] == ' ' || text[word] == '\t'))
        word++;
    b64_len = word_length(text + word, len - word);
    b64 = apr_pstrmemdup(p, text + word, b64_len);
    if (!decode(&blob, b64, b64_len, p))
        return refuse(p, why,
                      "what follows its type is not base64; was it cut, or broken into lines?");
    if ((wrong = check_blob(blob, t, p)) != NULL)
        return refuse(p, why, wrong);
    if ((fingerprint = import(t, b64, p)) == NULL)
        return refuse(p, why, "its numbers are no key of its type");

    key = apr_pcalloc(p, sizeof(*key));
    key->fingerprint = fingerprint;
    key->public_line = apr_pstrcat(p, t->name, " ", b64, NULL);
    *out = key;
    return APR_SUCCESS;
}

/* A pipe that others made could keep its reader for ever; `<(command)` is the caller's own. @return
 * the length, or -1 */
static ssize_t read_file(char *text, size_t size, const char *path, int *error)
{
    struct stat st = {.st_mode = 0};
    ssize_t n = -1, len = 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    *error = fd < 0 || fstat(fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (!*error && (S_ISREG(st.st_mode) || strncmp(path, "/dev/fd/", 8) == 0) &&
        fcntl(fd, F_SETFL, 0) == 0) {
        while ((n = read(fd, text + len, size - (size_t)len)) > 0)
            len += n;
        *error = n < 0 ? errno : 0;
    }
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : len;
}

apr_status_t relay_key_read(relay_key **out, const char *path, apr_pool_t *p, const char **why)
{
    char *text = apr_palloc(p, KEY_FILE_MAX + 1), err[120];
    const char *reason = NULL;
    apr_status_t rv = APR_SUCCESS;
    ssize_t len = read_file(text, KEY_FILE_MAX + 1, path, &rv);

    if (len < 0)
        RELAY_WHY(why, p, "cannot read the public key %s: %s", path,
                  rv ? apr_strerror(rv, err, sizeof(err)) : "it is not a regular file");
    else if ((rv = relay_key_parse(out, text, (apr_size_t)len, p, &reason)) != APR_SUCCESS)
        RELAY_WHY(why, p, "%s: %s", path, reason);
    return len < 0 && !rv ? RELAY_EINPUT : rv;
}

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
static int find_private_half(span blob, span *out)
{
    span field, inner;

    if (blob.len < sizeof(PEM_MAGIC) || memcmp(blob.data, PEM_MAGIC, sizeof(PEM_MAGIC)) != 0)
        return 0;
    blob.data += sizeof(PEM_MAGIC);
    blob.len -= sizeof(PEM_MAGIC);
    if (!take_string(&blob, &field) || !span_is(field, "none") || !take_string(&blob, &field) ||
        !take_string(&blob, &field) || blob.len < 4)
        return 0;
    blob.data += 4; /* how many keys: one */
    blob.len -= 4;
    if (!take_string(&blob, &field) || !take_string(&blob, &inner) || inner.len < 8)
        return 0;
    inner.data += 8; /* a number, twice, by which one sees that decryption went well */
    inner.len -= 8;
    return take_string(&inner, &field) && span_is(field, "ssh-ed25519") &&
           take_string(&inner, &field) && take_string(&inner, out) && out->len == 64;
}

/* The private key as dropbear's buf_put_ed25519_priv_key() writes it; NULL if the PEM text is not
 * as expected. */
static const unsigned char *dropbear_of(const char *pem, apr_pool_t *p)
{
    apr_size_t len;
    unsigned char *data = bytes_of_pem(pem, &len, p), *key = NULL;
    span half;

    if (!data)
        return NULL;
    if (find_private_half((span){data, len}, &half)) {
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
        !starts_with(pem, strlen(pem), PEM_BEGIN) ||
        ssh_pki_export_pubkey_base64(pair, &b64) != SSH_OK ||
        (key->private_dropbear = dropbear_of(pem, p)) == NULL ||
        (key->fingerprint = fingerprint_of(pair, p)) == NULL) {
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
