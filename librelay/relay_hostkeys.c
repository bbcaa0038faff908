/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_hostkeys.h"
#include "relay_sshdconf.h"

#include <apr_file_io.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_LEN 8192

typedef struct reading {
    apr_pool_t *p;
    apr_array_header_t *lines;
    const char *trouble; /* the first thing that went wrong */
} reading;

static apr_status_t open_text(apr_file_t **f, reading *r, const char *path)
{
    char err[120];
    apr_status_t rv =
        apr_file_open(f, path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, APR_FPROT_OS_DEFAULT, r->p);

    if (rv != APR_SUCCESS && !r->trouble)
        r->trouble =
            apr_psprintf(r->p, "cannot read %s: %s", path, apr_strerror(rv, err, sizeof(err)));
    return rv;
}

/* `type base64` of a public key file's line, or NULL where it is none. */
static const char *key_of_line(char *line, apr_pool_t *p)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-@.";
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    char *type = relay_sshdconf_argument(&line),
         *b64 = type ? relay_sshdconf_argument(&line) : NULL;

    /* The base64 of each type's blob starts with the length of its name: AAAA. */
    if (!b64 || strspn(type, lower) != strlen(type) || strncmp(b64, "AAAA", 4) != 0 ||
        strspn(b64, base64) != strlen(b64))
        return NULL;
    return apr_pstrcat(p, type, " ", b64, NULL);
}

static void read_public(reading *r, const char *hostkey)
{
    const char *key = NULL, *path = hostkey;
    char line[LINE_MAX_LEN];
    apr_size_t len = strlen(hostkey);
    apr_file_t *f;

    /* With an agent, HostKey may name the public half itself. */
    if (len < 4 || strcmp(hostkey + len - 4, ".pub") != 0)
        path = apr_pstrcat(r->p, hostkey, ".pub", NULL);
    if (open_text(&f, r, path) != APR_SUCCESS)
        return;
    if (apr_file_gets(line, sizeof(line), f) == APR_SUCCESS)
        key = key_of_line(line, r->p);
    apr_file_close(f);
    if (key)
        APR_ARRAY_PUSH(r->lines, const char *) = key;
    else if (!r->trouble)
        r->trouble = apr_psprintf(r->p, "%s holds no ssh public key", path);
}

static void take(void *baton, const relay_sshdconf_line *line, apr_pool_t *p)
{
    reading *r = baton;
    char *rest = line->rest;
    const char *arg;

    if (!line->conditional && strcasecmp(line->keyword, "HostKey") == 0 &&
        (arg = relay_sshdconf_argument(&rest)) != NULL)
        read_public(r, arg);
}

apr_status_t relay_hostkeys_read(apr_array_header_t **lines, const relay_config *cfg, apr_pool_t *p,
                                 const char **why)
{
    reading r = {.p = p, .lines = apr_array_make(p, 3, sizeof(const char *))};
    const char *trouble = NULL;

    relay_sshdconf_read(cfg->sshd_config, cfg->user, take, &r, p, &trouble);
    if (trouble)
        r.trouble = trouble;
    if (r.lines->nelts == 0) {
        if (!r.trouble)
            r.trouble = apr_psprintf(p, "there is no HostKey line in %s", cfg->sshd_config);
        RELAY_WHY(why, p, "no ssh host key of this relay is known: %s", r.trouble);
        return RELAY_ENOTFOUND;
    }
    *lines = r.lines;
    return APR_SUCCESS;
}
