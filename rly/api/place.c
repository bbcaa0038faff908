/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "place.h"
#include "relay_print.h"
#include "relay_service.h"
#include "relay_token.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_CHARS 190 /* inih cuts longer ones */
#define LINES_MAX 10000

const char *rly_place_file(apr_pool_t *p)
{
    const char *home = getenv("HOME");
    const struct passwd *pw;

    if ((!home || *home != '/') && (pw = getpwuid(geteuid())) != NULL)
        home = pw->pw_dir;
    return home && *home == '/' ? apr_pstrcat(p, home, "/.config/relay/rly.conf", NULL) : NULL;
}

apr_status_t rly_place_url(const char **out, const char *text, apr_pool_t *p, const char **why)
{
    static const char scheme[] = "https://";
    const char *host, *fault = "it does not begin with https://";
    apr_uint16_t port = 0;
    char *rest;
    size_t len;

    if (strncmp(text, scheme, sizeof(scheme) - 1) == 0) {
        rest = apr_pstrdup(p, text + sizeof(scheme) - 1);
        len = strlen(rest);
        if (len && rest[len - 1] == '/')
            rest[len - 1] = '\0';
        for (char *c = rest; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        if (strpbrk(rest, "/?#@"))
            fault = "nothing stands before or behind the host and the port, least of all a token";
        else
            fault = relay_authority_split(&host, &port, rest);
    }
    if (fault) {
        RELAY_WHY(why, p, "`%.120s' is no URL of an API, https://HOST[:PORT]: %s",
                  relay_print_clean(text, p), fault);
        return RELAY_EINPUT;
    }
    *out = strchr(host, ':') ? apr_pstrcat(p, scheme, "[", host, "]", NULL)
                             : apr_pstrcat(p, scheme, host, NULL);
    if (port && port != 443)
        *out = apr_psprintf(p, "%s:%u", *out, port);
    return APR_SUCCESS;
}

/* ---- the file */

typedef struct reading {
    apr_pool_t *p;
    FILE *file;
    const char *wanted; /* url, or NULL */
    char section[64];
    rly_place now;   /* the section that is read */
    rly_place found; /* url NULL: none so far */
    int lines;
    const char *fault;
} reading;

/* What was read of a section counts if it is the one that is looked for. */
static void end_section(reading *rd)
{
    if (!rd->section[0] || rd->fault)
        return;
    if (!rd->now.url || !rd->now.token)
        rd->fault =
            apr_psprintf(rd->p, "[%s]: %s is missing", rd->section, rd->now.url ? "token" : "url");
    else if (!rd->found.url && (!rd->wanted || strcmp(rd->wanted, rd->now.url) == 0))
        rd->found = rd->now;
}

static const char *set(reading *rd, const char *key, const char *value)
{
    char id[RELAY_TOKEN_ID_LEN + 1];
    const char *why = NULL;

    if (strcmp(key, "url") == 0 && !rd->now.url)
        return rly_place_url(&rd->now.url, value, rd->p, &why) == APR_SUCCESS ? NULL : why;
    if (strcmp(key, "cacert") == 0 && !rd->now.cacert) {
        rd->now.cacert = apr_pstrdup(rd->p, value);
        return *value == '/' ? NULL : "write a file's absolute path";
    }
    if (strcmp(key, "token") != 0 || rd->now.token)
        return strcmp(key, "url") && strcmp(key, "cacert") && strcmp(key, "token")
                   ? "there is no such key: url, token and cacert are known"
                   : "given twice";
    rd->now.token = apr_pstrdup(rd->p, value);
    return relay_token_parse(id, value, strlen(value)) ? NULL : "it has not the form of a token";
}

static int on_pair(void *user, const char *section, const char *key, const char *value)
{
    reading *rd = user;
    const char *why;

    if (rd->fault)
        return 0;
    if (!*section) {
        rd->fault = apr_psprintf(rd->p, "%.40s: a key before the first [section]", key);
        return 0;
    }
    if (strcmp(section, rd->section) != 0) {
        end_section(rd);
        apr_cpystrn(rd->section, section, sizeof(rd->section));
        rd->now = (rly_place){.url = NULL};
    }
    /* The value may be a token, and no error shows it. */
    if (!rd->fault && (why = set(rd, key, value)) != NULL)
        rd->fault = apr_psprintf(rd->p, "[%s] %.40s: %s", section, key, why);
    return rd->fault == NULL;
}

static char *next_line(char *buf, int size, void *stream)
{
    reading *rd = stream;
    size_t len, skip;

    if (rd->lines++ > LINES_MAX || !fgets(buf, size, rd->file))
        return NULL;
    len = strlen(buf);
    if (!rd->fault && len > LINE_MAX_CHARS)
        rd->fault = apr_psprintf(rd->p, "the line is longer than %d characters", LINE_MAX_CHARS);
    skip = strspn(buf, " \t"); /* else inih takes it for more of the last value */
    memmove(buf, buf + skip, len - skip + 1);
    return buf;
}

/* As ssh judges its private keys. */
static apr_status_t check_mode(const char *file, int fd, apr_pool_t *p, const char **why)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        RELAY_WHY(why, p, "%s: it is no file", file);
        return RELAY_EREFUSED;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        RELAY_WHY(why, p, "%s: it has a token in it and is user %lu's, neither yours nor root's",
                  file, (unsigned long)st.st_uid);
        return RELAY_EREFUSED;
    }
    if (st.st_mode & 077) {
        RELAY_WHY(why, p,
                  "%s: it has a token in it and others can read or change it (mode %04o): "
                  "chmod 600 %s",
                  file, (unsigned)(st.st_mode & 07777), relay_print_shell(file, p));
        return RELAY_EREFUSED;
    }
    return APR_SUCCESS;
}

static apr_status_t open_file(FILE **out, const char *file, apr_pool_t *p, const char **why)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    apr_status_t rv;

    if (fd < 0) {
        rv = errno == ENOENT || errno == ENOTDIR ? RELAY_ENOTFOUND : RELAY_EREFUSED;
        RELAY_WHY(why, p, "%s: cannot be read: %s", file, strerror(errno));
        return rv;
    }
    if ((rv = check_mode(file, fd, p, why)) == APR_SUCCESS && (*out = fdopen(fd, "r")) != NULL)
        return APR_SUCCESS;
    close(fd);
    return rv == APR_SUCCESS ? APR_ENOMEM : rv;
}

apr_status_t rly_place_find(rly_place *out, const char *file, const char *url, apr_pool_t *p,
                            const char **why)
{
    reading rd = {.p = p, .wanted = url};
    apr_status_t rv = open_file(&rd.file, file, p, why);
    int line;

    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, p,
                  "%s is missing, which has the token: write [api], url = %s and token = relay_... "
                  "into it, a line each, and chmod 600 it",
                  file, url ? url : "https://...");
    if (rv != APR_SUCCESS)
        return rv;
    line = ini_parse_stream(next_line, &rd, on_pair, &rd);
    fclose(rd.file);
    end_section(&rd);
    if (rd.fault || line) {
        RELAY_WHY(why, p, "%s%s: %s", file, line > 0 ? apr_psprintf(p, ":%d", line) : "",
                  rd.fault ? rd.fault : "it is not KEY = VALUE in [section]s");
        return RELAY_EINPUT;
    }
    if (!rd.found.url) {
        RELAY_WHY(why, p, "%s: it has no section with url = %s", file, url ? url : "https://...");
        return RELAY_ENOTFOUND;
    }
    *out = rd.found;
    out->file = file;
    return APR_SUCCESS;
}
