/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A public key is read twice: first by the table below, which knows what RFC 4253, 5656, 8709 and
 * OpenSSH's PROTOCOL.u2f put into each type's blob and can say what is wrong with it; then by
 * libssh, which knows whether a point lies on its curve. What libssh writes back must be what came
 * in: sshd fingerprints a key as it would write it itself, so a blob with a second spelling would
 * be granted under a fingerprint that sshd never asks for.
 */
#include "relay_key_blob.h"

#include <apr_encode.h>
#include <errno.h>
#include <fcntl.h>
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

static const key_type *type_by_name(const char *name, apr_size_t len)
{
    for (apr_size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++)
        if (strlen(key_types[i].name) == len && memcmp(key_types[i].name, name, len) == 0)
            return &key_types[i];
    return NULL;
}

/* The bits of a positive integer in its one right spelling (RFC 4251, section 5), or 0. */
static apr_size_t mpint_bits(relay_span s)
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
static const char *check_field(char kind, relay_span f, const key_type *t, apr_pool_t *p)
{
    apr_size_t bits;

    switch (kind) {
    case 'k': /* an Edwards point */
        return f.len == 32 ? NULL : "its key is not 32 bytes long";
    case 'c':
        return relay_span_is(f, t->curve) ? NULL : "it names another curve than its type does";
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
static const char *check_blob(relay_span blob, const key_type *t, apr_pool_t *p)
{
    relay_span field;

    if (!relay_span_take(&field, &blob))
        return "it is cut short";
    if (!relay_span_is(field, t->name))
        return "the key in it is of another type than the line says";
    for (const char *kind = t->fields; *kind; kind++) {
        const char *wrong;

        if (!relay_span_take(&field, &blob))
            return "it is cut short";
        if ((wrong = check_field(*kind, field, t, p)) != NULL)
            return wrong;
    }
    return blob.len == 0 ? NULL : "there are bytes after its end";
}

/* Lets libssh read the key and write it again; returns its fingerprint, or NULL. */
static const char *import(const key_type *t, const char *b64, apr_pool_t *p)
{
    ssh_key key = NULL;
    char *again = NULL;
    const char *fingerprint = NULL;

    if (ssh_pki_import_pubkey_base64(b64, ssh_key_type_from_name(t->name), &key) == SSH_OK &&
        ssh_pki_export_pubkey_base64(key, &again) == SSH_OK && strcmp(again, b64) == 0)
        fingerprint = relay_key_fingerprint(key, p);
    ssh_string_free_char(again);
    ssh_key_free(key);
    return fingerprint;
}

/* Decodes base64 in its one right spelling: APR's decoder alone would take a
 * text without its `=`. */
static int decode(relay_span *blob, const char *b64, apr_size_t len, apr_pool_t *p)
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
    relay_span blob;

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
