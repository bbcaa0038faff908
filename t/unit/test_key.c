/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay_key: what ssh-keygen makes is read and gets the fingerprint that ssh-keygen prints; what is
 * not exactly one good public key is refused with the right words. The bad blobs are made from good
 * ones.
 */
#include "relay_key.h"
#include "tap.h"

#include <apr_encode.h>
#include <apr_file_io.h>
#include <apr_general.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static apr_pool_t *pool;
static char dir[] = "/tmp/test_key.XXXXXX";

/* A blob that is being put together. */
typedef struct blob {
    unsigned char data[8192];
    apr_size_t len;
} blob;

static const char *run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Runs a command in the scratch directory; returns its output, "" on failure. */
static const char *run(const char *fmt, ...)
{
    char out[32768], *cmd;
    size_t n;
    va_list ap;
    FILE *f;

    va_start(ap, fmt);
    cmd = apr_pvsprintf(pool, fmt, ap);
    va_end(ap);
    /* NOLINTNEXTLINE(cert-env33-c): the commands are this file's own */
    f = popen(apr_psprintf(pool, "cd %s && { %s; } 2>&1", dir, cmd), "r");
    n = f ? fread(out, 1, sizeof(out) - 1, f) : 0;
    out[n] = '\0';
    if (!f || pclose(f) != 0) {
        printf("# failed: %s: %s\n", cmd, out);
        return "";
    }
    return apr_pstrdup(pool, out);
}

/* The n-th word of a text, counted from 0. */
static char *word(const char *text, int n)
{
    char *rest = NULL, *w = apr_strtok(apr_pstrdup(pool, text), " \t\n", &rest);

    while (w && n-- > 0)
        w = apr_strtok(NULL, " \t\n", &rest);
    return w ? w : apr_pstrdup(pool, "");
}

static void put_bytes(blob *b, const void *data, apr_size_t len)
{
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_length(blob *b, apr_size_t len)
{
    unsigned char prefix[4] = {len >> 24, len >> 16, len >> 8, len};

    put_bytes(b, prefix, 4);
}

static void put_string(blob *b, const void *data, apr_size_t len)
{
    put_length(b, len);
    put_bytes(b, data, len);
}

static void put_text(blob *b, const char *text)
{
    put_string(b, text, strlen(text));
}

static const char *line_of(const char *type, const blob *b)
{
    return apr_pstrcat(pool, type, " ",
                       apr_pencode_base64_binary(pool, b->data, (apr_ssize_t)b->len, 0, NULL),
                       NULL);
}

/* The blob of a key file's line. */
static blob blob_of(const char *line)
{
    blob b = {.len = 0};

    apr_decode_base64_binary(b.data, word(line, 1), APR_ENCODE_STRING, 0, &b.len);
    return b;
}

/* Field n of a blob; its type is field 0. */
static const unsigned char *field_of(const blob *b, int n, apr_size_t *len)
{
    apr_size_t at = 0;

    for (;; at += 4 + *len) {
        *len = (apr_size_t)b->data[at + 2] << 8 | b->data[at + 3];
        if (n-- == 0)
            return b->data + at + 4;
    }
}

static void refused_bytes(const char *what, const char *text, apr_size_t len, const char *expect)
{
    relay_key *key = NULL;
    const char *why = "";
    apr_status_t rv = relay_key_parse(&key, text, len, pool, &why);

    if (!ok(rv == RELAY_EINPUT, "refused: %s", what))
        printf("# status %d\n", rv);
    if (!ok(strstr(why, expect) != NULL, "and the error says: %s", expect))
        printf("# said: %s\n", why);
    ok(key == NULL, "there is no key");
}

static void refused(const char *what, const char *text, const char *expect)
{
    refused_bytes(what, text, strlen(text), expect);
}

static void accepted(const char *what, const char *text, const char *fingerprint)
{
    relay_key *key = NULL;
    const char *why = "", *bare;
    apr_status_t rv = relay_key_parse(&key, text, strlen(text), pool, &why);

    if (!ok(rv == APR_SUCCESS, "accepted: %s", what)) {
        printf("# why: %s\n", why);
        return;
    }
    bare = apr_pstrcat(pool, word(text, 0), " ", word(text, 1), NULL);
    is(key->public_line, bare, "its type and base64: %s", what);
    ok(key->private_pem == NULL, "no private key: %s", what);
    if (fingerprint)
        is(key->fingerprint, fingerprint, "ssh-keygen's fingerprint: %s", what);
}

/* Makes a pair with ssh-keygen, reads its public half; returns that line. */
static const char *generated(const char *type, int bits)
{
    const char *name = apr_psprintf(pool, "%s-%d", type, bits), *line;
    const char *path = apr_psprintf(pool, "%s/%s.pub", dir, name), *why = "";
    relay_key *key = NULL;

    run("ssh-keygen -q -t %s %s -N '' -C 'a comment' -f %s", type,
        bits ? apr_psprintf(pool, "-b %d", bits) : "", name);
    line = run("cat %s.pub", name);
    if (bits && bits < 2048)
        return line;
    accepted(name, line, word(run("ssh-keygen -lf %s.pub", name), 1));
    if (!ok(relay_key_read(&key, path, pool, &why) == APR_SUCCESS, "read from its file: %s", name))
        printf("# why: %s\n", why);
    return line;
}

/* A security key's public half, put together from an ordinary key's: there is
 * no such device here. */
static const char *security_key(const char *type, const char *from, int fields)
{
    blob plain = blob_of(from), sk = {.len = 0};
    apr_size_t len;

    put_text(&sk, type);
    for (int i = 1; i <= fields; i++) {
        const unsigned char *data = field_of(&plain, i, &len);
        put_string(&sk, data, len);
    }
    put_text(&sk, "ssh:");
    return line_of(type, &sk);
}

static void test_security_keys(const char *ed, const char *ec256, const char *ec384)
{
    const char *ed_type = "sk-ssh-ed25519@openssh.com",
               *ec_type = "sk-ecdsa-sha2-nistp256@openssh.com";
    const char *both[] = {security_key(ed_type, ed, 1), security_key(ec_type, ec256, 2)};
    blob b;

    for (int i = 0; i < 2; i++) {
        run("printf '%%s\\n' '%s' > sk.pub", both[i]);
        accepted(word(both[i], 0), both[i], word(run("ssh-keygen -lf sk.pub"), 1));
    }
    b = blob_of(both[0]);
    b.len -= 8; /* the application, `ssh:` */
    refused("a security key without application", line_of(ed_type, &b), "cut short");
    put_text(&b, "");
    refused("a security key with an empty application", line_of(ed_type, &b), "application");
    b.len -= 4;
    put_string(&b, "ssh\0x", 5);
    refused("a security key with NUL in its application", line_of(ed_type, &b), "application");
    refused("a security key of another curve", security_key(ec_type, ec384, 2), "another curve");
}

static void test_ecdsa(const char *ec256, const char *ec384)
{
    blob b = blob_of(ec256), other;
    apr_size_t len;
    const unsigned char *point = field_of(&b, 2, &len);

    other = b;
    other.data[point - b.data + 40] ^= 1;
    refused("a point that is not on the curve", line_of("ecdsa-sha2-nistp256", &other),
            "no key of its type");
    other = b;
    other.data[point - b.data] = 3;
    refused("a compressed point's mark", line_of("ecdsa-sha2-nistp256", &other), "uncompressed");
    memset(&other, 0, sizeof(other));
    put_text(&other, "ecdsa-sha2-nistp256");
    put_text(&other, "nistp384");
    put_string(&other, point, len);
    refused("the type of one curve, the name of another", line_of("ecdsa-sha2-nistp256", &other),
            "another curve");
    other.len = 0;
    put_text(&other, "ecdsa-sha2-nistp384");
    put_text(&other, "nistp384");
    put_string(&other, point, len);
    refused("a point of another curve", line_of("ecdsa-sha2-nistp384", &other), "curve's length");
    other.len = 0;
    put_text(&other, "ecdsa-sha2-nistp256");
    put_text(&other, "nistp256");
    put_string(&other, "", 1);
    refused("the point at infinity", line_of("ecdsa-sha2-nistp256", &other), "curve's length");
    refused("the type of one curve, the blob of another",
            apr_pstrcat(pool, "ecdsa-sha2-nistp256 ", word(ec384, 1), NULL), "another type");
}

static const char *rsa_line(const void *e, apr_size_t elen, const void *n, apr_size_t nlen)
{
    blob b = {.len = 0};

    put_text(&b, "ssh-rsa");
    put_string(&b, e, elen);
    put_string(&b, n, nlen);
    return line_of("ssh-rsa", &b);
}

static void test_rsa(const char *rsa, const char *rsa1024)
{
    blob b = blob_of(rsa);
    apr_size_t nlen;
    const unsigned char *n = field_of(&b, 2, &nlen);
    unsigned char changed[3000] = {0};

    refused("RSA with 1024 bits", rsa1024, "1024 bits");
    accepted("RSA put together again", rsa_line("\1\0\1", 3, n, nlen), NULL);
    refused("an exponent with a needless zero", rsa_line("\0\1\0\1", 4, n, nlen), "exponent");
    refused("a negative exponent", rsa_line("\201\0\1", 3, n, nlen), "exponent");
    refused("an even exponent", rsa_line("\4", 1, n, nlen), "exponent");
    refused("the exponent 1", rsa_line("\1", 1, n, nlen), "exponent");
    refused("no exponent", rsa_line("", 0, n, nlen), "exponent");
    refused("the exponent 0", rsa_line("\0", 1, n, nlen), "exponent");
    refused("a huge exponent", rsa_line("\1\0\0\0\0\0\0\0\1", 9, n, nlen), "exponent");
    refused("a negative modulus", rsa_line("\1\0\1", 3, n + 1, nlen - 1), "modulus");
    memcpy(changed + 1, n, nlen);
    refused("a modulus with a needless zero", rsa_line("\1\0\1", 3, changed, nlen + 1), "modulus");
    changed[nlen] ^= 1;
    refused("an even modulus", rsa_line("\1\0\1", 3, changed + 1, nlen), "modulus");
    memset(changed, 0x7f, sizeof(changed));
    refused("2047 bits", rsa_line("\1\0\1", 3, changed, 256), "2047 bits");
    refused("more than 16384 bits", rsa_line("\1\0\1", 3, changed, 2050), "more than 16384");
}

static void test_blobs(const char *ed)
{
    const char *b64 = word(ed, 1);
    blob b = blob_of(ed), other;
    char *bad;

    for (apr_size_t cut = 0; cut < b.len; cut++) {
        other = b;
        other.len = cut;
        refused(apr_psprintf(pool, "a blob cut to %d bytes", (int)cut),
                line_of("ssh-ed25519", &other), cut ? "cut short" : "not base64");
    }
    other = b;
    put_bytes(&other, "", 1);
    refused("one byte after the blob", line_of("ssh-ed25519", &other), "after its end");
    other.len = 0;
    put_text(&other, "ssh-ed25519");
    put_string(&other, b.data, 31);
    refused("a key of 31 bytes", line_of("ssh-ed25519", &other), "32 bytes");
    other.len = 0;
    put_text(&other, "ssh-ed25519");
    put_length(&other, 0xffffffffu);
    put_bytes(&other, b.data, 32);
    refused("a field of 4 GB", line_of("ssh-ed25519", &other), "cut short");
    refused("the blob of another type", apr_pstrcat(pool, "ssh-rsa ", b64, NULL), "another type");

    refused("a type alone", "ssh-ed25519", "not base64");
    refused("a type and spaces", "ssh-ed25519  ", "not base64");
    refused("base64 cut by one", apr_psprintf(pool, "ssh-ed25519 %.*s", (int)strlen(b64) - 1, b64),
            "not base64");
    refused("base64 and one `=`", apr_pstrcat(pool, "ssh-ed25519 ", b64, "=", NULL), "not base64");
    bad = apr_pstrdup(pool, b64);
    bad[30] = '*';
    refused("a wrong character in the base64", apr_pstrcat(pool, "ssh-ed25519 ", bad, NULL),
            "not base64");
    bad[30] = '-';
    refused("base64url", apr_pstrcat(pool, "ssh-ed25519 ", bad, NULL), "not base64");
    refused("base64 of ten bytes", "ssh-ed25519 AAAAC3NzaC1lZA==", "cut short");
    refused("the same with bits over", "ssh-ed25519 AAAAC3NzaC1lZB==", "not base64");
    refused("the same without its padding", "ssh-ed25519 AAAAC3NzaC1lZA", "not base64");
}

static void test_text(const char *ed, const char *ec)
{
    const char *one = apr_pstrcat(pool, word(ed, 0), " ", word(ed, 1), NULL);
    char *nul = apr_pstrcat(pool, one, " a comment", NULL);

    accepted("no comment, no newline", one, NULL);
    accepted("tabs", apr_pstrcat(pool, word(ed, 0), "\t", word(ed, 1), "\tcomment\n", NULL), NULL);
    accepted("a long comment", apr_pstrcat(pool, one, " a b c \xc3\xa4 ssh-rsa\n", NULL), NULL);
    refused("nothing", "", "is empty");
    refused("a newline alone", "\n", "is empty");
    refused("two keys", apr_pstrcat(pool, one, "\n", ec, NULL), "more than one line");
    refused("an empty line after it", apr_pstrcat(pool, one, "\n\n", NULL), "more than one line");
    refused("an empty line before it", apr_pstrcat(pool, "\n", one, NULL), "more than one line");
    refused("CRLF", apr_pstrcat(pool, one, "\r\n", NULL), "carriage return");
    refused("a CR inside", apr_pstrcat(pool, one, " a\rb", NULL), "carriage return");
    refused("an escape sequence in the comment", apr_pstrcat(pool, one, " \033[2J", NULL),
            "control character");
    refused("a space before it", apr_pstrcat(pool, " ", one, NULL), "starts with a space");
    refused("a byte order mark", apr_pstrcat(pool, "\xef\xbb\xbf", one, NULL),
            "does not start with a key's type");
    nul[strlen(one) + 3] = '\0';
    refused_bytes("a NUL byte in the comment", nul, strlen(one) + 10, "NUL byte");
    nul = apr_pstrdup(pool, one);
    nul[11] = '\0';
    refused_bytes("a NUL byte after the type", nul, strlen(one), "NUL byte");

    refused("options", apr_pstrcat(pool, "restrict,command=\"a b\" ", one, NULL), "options");
    refused("an option alone", apr_pstrcat(pool, "no-pty ", one, NULL), "options");
    refused("a known_hosts line", apr_pstrcat(pool, "relay1 ", one, NULL), "options");
    refused("an unknown type", apr_pstrcat(pool, "ssh-ed448 ", word(ed, 1), NULL),
            "type ssh-ed448 are not taken");
    refused("a type that nobody has", apr_pstrcat(pool, "ssh-foo ", word(ed, 1), NULL),
            "type ssh-foo are not taken");
    refused("upper case", apr_pstrcat(pool, "SSH-ED25519 ", word(ed, 1), NULL),
            "does not start with");
    refused("DSA", "ssh-dss AAAAB3NzaC1kc3MAAACBAPY", "DSA");
    refused("base64 alone", word(ed, 1), "does not start with");
    refused("SSH2 format", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
            "RFC 4716");
    refused("PEM format", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n", "PEM");
    refused("a PuTTY private key", "PuTTY-User-Key-File-3: ssh-ed25519\r\n", "private key");
}

static void test_files(const char *ed)
{
    const char *private = apr_psprintf(pool, "%s/ed25519-0", dir),
               *missing = apr_psprintf(pool, "%s/missing", dir);
    const char *why = "", *text;
    relay_key *key = NULL;

    ok(relay_key_read(&key, private, pool, &why) == RELAY_EINPUT &&
           strstr(why, "is a private key") && strstr(why, private),
       "a private key's file is refused");
    text = run("cat ed25519-0");
    ok(!strstr(why, word(text, 5)), "and nothing of it is shown");
    why = "";
    ok(relay_key_read(&key, missing, pool, &why) != APR_SUCCESS && strstr(why, missing),
       "a missing file");
    ok(relay_key_read(&key, dir, pool, &why) != APR_SUCCESS && strstr(why, dir), "a directory");
    run("head -c 20000 /dev/zero | tr '\\0' x > long");
    ok(relay_key_read(&key, apr_psprintf(pool, "%s/long", dir), pool, &why) == RELAY_EINPUT &&
           strstr(why, "too long"),
       "a long file");
    run("ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -s ca -I id -n relay ed25519-0.pub");
    refused("a certificate", run("cat ed25519-0-cert.pub"), "certificate");
    ok(relay_key_parse(&key, ed, strlen(ed), pool, NULL) == APR_SUCCESS, "why may be NULL");
    ok(relay_key_parse(&key, "x", 1, pool, NULL) == RELAY_EINPUT, "also when refused");
}

static void test_generate(void)
{
    relay_key *key = NULL, *other = NULL, *again = NULL;
    const char *why = "", *path = apr_psprintf(pool, "%s/made", dir);
    FILE *f;

    ok(relay_key_generate(&key, pool, &why) == APR_SUCCESS &&
           relay_key_generate(&other, pool, NULL) == APR_SUCCESS,
       "makes pairs");
    ok(other && strcmp(key->public_line, other->public_line) != 0, "that differ");
    ok(relay_key_parse(&again, key->public_line, strlen(key->public_line), pool, &why) ==
           APR_SUCCESS,
       "reads what it made");
    is(again->fingerprint, key->fingerprint, "the same fingerprint");
    f = fopen(path, "w");
    chmod(path, 0600);
    fputs(key->private_pem, f);
    fclose(f);
    is(apr_pstrcat(pool, word(run("ssh-keygen -y -P '' -f made"), 0), " ",
                   word(run("ssh-keygen -y -P '' -f made"), 1), NULL),
       key->public_line, "ssh-keygen -y reads the private key");
    is(word(run("ssh-keygen -lf made"), 1), key->fingerprint,
       "ssh-keygen -l prints that fingerprint");
    run("ssh-keygen -q -t ed25519 -N '' -C '' -f own");
    is(run("wc < made"), run("wc < own"), "it has lines and bytes as ssh-keygen would write them");
    is(run("grep -v -e --- made | base64 -d | tail -c 6 | od -An -tx1"), " 00 01 02 03 04 05\n",
       "and no more padding than the format asks for");
}

int main(void)
{
    const char *ed, *ec256, *ec384, *rsa;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    ed = generated("ed25519", 0);
    ec256 = generated("ecdsa", 256);
    ec384 = generated("ecdsa", 384);
    generated("ecdsa", 521);
    rsa = generated("rsa", 2048);
    generated("rsa", 3072);
    test_security_keys(ed, ec256, ec384);
    test_ecdsa(ec256, ec384);
    test_rsa(rsa, generated("rsa", 1024));
    test_blobs(ed);
    test_text(ed, ec256);
    test_files(ed);
    test_generate();
    run("rm -rf %s", dir);
    apr_terminate();
    return done_testing();
}
