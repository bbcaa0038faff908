/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_sshdconf.h"

#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_strings.h>
#include <ctype.h>
#include <glob.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_LEN 8192
#define INCLUDE_DEPTH_MAX 16

typedef struct reading {
    apr_pool_t *p;
    const char *user;
    relay_sshdconf_take *take;
    void *baton;
    const char *trouble; /* the first thing that went wrong */
} reading;

char *relay_sshdconf_argument(char **line)
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

/* Whether a list of patterns, a,b*,!c, means the user
 * (match_pattern_list() in OpenSSH's match.c). */
static int is_in_list(const char *user, const char *list, apr_pool_t *p)
{
    char *rest = NULL;
    int found = 0;

    for (char *one = apr_strtok(apr_pstrdup(p, list), ",", &rest); one;
         one = apr_strtok(NULL, ",", &rest)) {
        if (apr_fnmatch(one + (*one == '!'), user, APR_FNM_NOESCAPE) != APR_SUCCESS)
            continue;
        if (*one == '!')
            return 0;
        found = 1;
    }
    return found;
}

/* Whether a Match line means the user: all of its criteria have to. */
static int is_match(reading *r, char *rest)
{
    char *word, *value;
    int found = 1, any = 0;

    while ((word = relay_sshdconf_argument(&rest)) != NULL) {
        any = 1;
        if (strcasecmp(word, "all") == 0)
            continue;
        if ((value = strchr(word, '=')) != NULL) /* from 9.x on also with = */
            *value++ = '\0';
        else if ((value = relay_sshdconf_argument(&rest)) == NULL)
            return 0;
        if (strcasecmp(word, "User") == 0 ? !is_in_list(r->user, value, r->p)
                                          : strcmp(value, "*") != 0)
            found = 0;
    }
    return any && found;
}

static void read_config(reading *r, const char *path, int depth, int conditional, int matches);

static void include(reading *r, const char *pattern, int depth, int conditional, int matches)
{
    glob_t found;

    if (pattern[0] != '/') /* sshd takes it from there, wherever the including file is */
        pattern = apr_pstrcat(r->p, "/etc/ssh/", pattern, NULL);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the programs that read it have one thread */
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_config(r, found.gl_pathv[i], depth + 1, conditional, matches);
    globfree(&found);
}

static void take_line(reading *r, relay_sshdconf_line *line, int depth, int outer)
{
    const char *arg;

    if (strcasecmp(line->keyword, "Match") == 0) {
        line->conditional = 1;
        line->matches = outer && is_match(r, line->rest);
    }
    else if (strcasecmp(line->keyword, "Include") == 0) {
        while ((arg = relay_sshdconf_argument(&line->rest)) != NULL)
            include(r, arg, depth, line->conditional, line->matches);
    }
    else {
        r->take(r->baton, line, r->p);
    }
}

/* A Match lasts until the next one, or to the end of its file. */
static void read_config(reading *r, const char *path, int depth, int conditional, int matches)
{
    relay_sshdconf_line line = {
        .file = apr_pstrdup(r->p, path), .conditional = conditional, .matches = matches};
    char text[LINE_MAX_LEN], err[120];
    apr_file_t *f;
    apr_status_t rv;

    if (depth > INCLUDE_DEPTH_MAX)
        return;
    rv = apr_file_open(&f, path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, APR_FPROT_OS_DEFAULT, r->p);
    if (rv != APR_SUCCESS) {
        if (!r->trouble)
            r->trouble =
                apr_psprintf(r->p, "cannot read %s: %s", path, apr_strerror(rv, err, sizeof(err)));
        return;
    }
    while (apr_file_gets(text, sizeof(text), f) == APR_SUCCESS) {
        line.rest = text;
        line.number++;
        if ((line.keyword = next_keyword(&line.rest)) != NULL && *line.keyword)
            take_line(r, &line, depth, matches);
    }
    apr_file_close(f);
}

void relay_sshdconf_read(const char *path, const char *user, relay_sshdconf_take *take, void *baton,
                         apr_pool_t *p, const char **trouble)
{
    reading r = {.p = p, .user = user, .take = take, .baton = baton};

    read_config(&r, path, 0, 0, 1);
    if (trouble)
        *trouble = r.trouble;
}
