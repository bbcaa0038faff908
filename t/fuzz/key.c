/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz targets: a device's public key as an operator gives it, and as sshd hands it to
 * relay-authkeys. */

#include "authkeys.h"
#include "fuzz.h"
#include "relay_key.h"

int fuzz_key(const char *text, size_t size, apr_pool_t *p)
{
    relay_key *key = NULL, *again = NULL;
    const char *why = NULL;

    if (relay_key_parse(&key, text, size, p, &why) != APR_SUCCESS) {
        MUST(why && fuzz_is_plain(why));
        return 0;
    }
    MUST(relay_fingerprint_is_valid(key->fingerprint) && !key->private_pem);
    MUST(fuzz_is_plain(key->public_line) &&
         strncmp(key->public_line, text, strcspn(text, " \t")) == 0);
    MUST(relay_key_parse(&again, key->public_line, strlen(key->public_line), p, &why) ==
         APR_SUCCESS);
    MUST(strcmp(again->fingerprint, key->fingerprint) == 0 &&
         strcmp(again->public_line, key->public_line) == 0);
    return 1;
}

/* Four lines: user, fingerprint, type, base64. */
int fuzz_login(const char *text, size_t size, apr_pool_t *p)
{
    char *field[4], *rest = apr_pstrdup(p, text), *end;
    const char *why = NULL;
    authkeys_request req;
    int i;

    for (i = 0; i < 4; i++) {
        field[i] = rest;
        if ((end = strchr(rest, '\n')) != NULL)
            *end++ = '\0';
        rest = end ? end : rest + strlen(rest);
    }
    req = (authkeys_request){field[0], field[1], field[2], field[3]};
    if (authkeys_request_check(&req, p, &why) != APR_SUCCESS) {
        MUST(why && fuzz_is_plain(why));
        return 0;
    }
    /* Nothing that could end the word, or begin options, in the line that sshd reads. */
    MUST(relay_fingerprint_is_valid(req.fingerprint));
    MUST(!strpbrk(req.type, " \t\r\n\"',=") && !strpbrk(req.blob, " \t\r\n\"',"));
    MUST(*req.type && *req.blob);
    return 1;
}
