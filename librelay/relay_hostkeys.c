/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Reads just as much of sshd_config as is needed: `HostKey` and `Include`, before the first `Match`,
 * with the quoting of sshd's own parser (argv_split() in OpenSSH's misc.c).
 */
#include "relay_hostkeys.h"

#include <apr_file_io.h>
#include <ctype.h>
#include <glob.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_LEN 8192
#define INCLUDE_DEPTH_MAX 16

typedef struct reading {
    apr_pool_t *p;
    apr_array_header_t *lines;
    const char *trouble; /* the first thing that went wrong */
} reading;

static void read_config(reading *r, const char *path, int depth);

static apr_status_t open_text(apr_file_t **f, reading *r, const char *path)
{
    char err[120];
    apr_status_t rv = apr_file_open(f, path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, APR_FPROT_OS_DEFAULT, r->p);

    if (rv != APR_SUCCESS && !r->trouble)
        r->trouble = apr_psprintf(r->p, "cannot read %s: %s", path, apr_strerror(rv, err, sizeof err));
    return rv;
}

/* Takes the next argument off a line in place; returns it, or NULL at the line's or a comment's start. */
static char *next_argument(char **line)
{
    char *s = *line, *to, *arg, quote = 0;

    s += strspn(s, " \t\r\n");
    if (*s == '\0' || *s == '#')
        return NULL;
    for (arg = to = s; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
        if (*s == '\\' && (strchr("'\"\\", s[1]) || (!quote && s[1] == ' ')) && s[1])
            *to++ = *++s;
        else if (!quote && (*s == '"' || *s == '\''))
            quote = *s;
        else if (quote && *s == quote)
            quote = 0;
        else
            *to++ = *s;
    }
    *line = *s ? s + 1 : s;
    *to = '\0';
    return arg;
}

/* Cuts the keyword off a line: letters, then spaces or one `=`. */
static char *next_keyword(char **line)
{
    char *word = *line + strspn(*line, " \t"), *end = word;

    while (isalnum((unsigned char)*end))
        end++;
    *line = end + strspn(end, " \t");
    if (**line == '=')
        ++*line;
    else if (*line == end && *end && !strchr("\r\n", *end))
        return NULL;
    *end = '\0';
    return word;
}

/* `type base64` of a public key file's line, or NULL where it is none. */
static const char *key_of_line(char *line, apr_pool_t *p)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-@.";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    char *type = next_argument(&line), *b64 = type ? next_argument(&line) : NULL;

    /* The base64 of each type's blob starts with the length of its name: AAAA. */
    if (!b64 || strspn(type, lower) != strlen(type) || strncmp(b64, "AAAA", 4) != 0
        || strspn(b64, base64) != strlen(b64))
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
    if (apr_file_gets(line, sizeof line, f) == APR_SUCCESS)
        key = key_of_line(line, r->p);
    apr_file_close(f);
    if (key)
        APR_ARRAY_PUSH(r->lines, const char *) = key;
    else if (!r->trouble)
        r->trouble = apr_psprintf(r->p, "%s holds no ssh public key", path);
}

static void include(reading *r, const char *pattern, int depth)
{
    glob_t found;

    if (pattern[0] != '/') /* sshd takes it from there, wherever the including file is */
        pattern = apr_pstrcat(r->p, "/etc/ssh/", pattern, NULL);
    if (glob(pattern, 0, NULL, &found) != 0) /* NOLINT(concurrency-mt-unsafe): rly and rlyd have one thread */
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_config(r, found.gl_pathv[i], depth + 1);
    globfree(&found);
}

static void read_config(reading *r, const char *path, int depth)
{
    char line[LINE_MAX_LEN], *rest, *word, *arg;
    apr_file_t *f;

    if (depth > INCLUDE_DEPTH_MAX || open_text(&f, r, path) != APR_SUCCESS)
        return;
    while (apr_file_gets(line, sizeof line, f) == APR_SUCCESS) {
        rest = line;
        if ((word = next_keyword(&rest)) == NULL)
            continue;
        if (strcasecmp(word, "Match") == 0)
            break;
        if (strcasecmp(word, "HostKey") == 0 && (arg = next_argument(&rest)) != NULL)
            read_public(r, arg);
        if (strcasecmp(word, "Include") == 0)
            while ((arg = next_argument(&rest)) != NULL)
                include(r, arg, depth);
    }
    apr_file_close(f);
}

apr_status_t relay_hostkeys_read(apr_array_header_t **lines, const relay_config *cfg, apr_pool_t *p, const char **why)
{
    reading r = { .p = p, .lines = apr_array_make(p, 3, sizeof(const char *)) };

    read_config(&r, cfg->sshd_config, 0);
    if (r.lines->nelts == 0) {
        if (!r.trouble)
            r.trouble = apr_psprintf(p, "there is no HostKey line in %s", cfg->sshd_config);
        RELAY_WHY(why, p, "no ssh host key of this relay is known: %s", r.trouble);
        return RELAY_ENOTFOUND;
    }
    *lines = r.lines;
    return APR_SUCCESS;
}
