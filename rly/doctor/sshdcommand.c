/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshdcommand.h"
#include "relay_sshdconf.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

/* sshd reads its configuration once for all, and the Match blocks again for each login: what those
 * say wins, and of several lines the first (servconf.c, parse_server_match_config). */
typedef struct value {
    const char *text, *file;
    int line, conditional;
} value;

typedef struct reading {
    value command, user;
} reading;

static void keep(value *v, const relay_sshdconf_line *line, apr_pool_t *p)
{
    if (v->file && (v->conditional || !line->conditional))
        return;
    v->text = apr_pstrdup(p, line->rest + strspn(line->rest, " \t"));
    v->file = line->file;
    v->line = line->number;
    v->conditional = line->conditional;
}

static void take(void *baton, const relay_sshdconf_line *line, apr_pool_t *p)
{
    reading *r = baton;

    if (!line->matches)
        return;
    if (strcasecmp(line->keyword, "AuthorizedKeysCommand") == 0)
        keep(&r->command, line, p);
    else if (strcasecmp(line->keyword, "AuthorizedKeysCommandUser") == 0)
        keep(&r->user, line, p);
}

/* sshd starts it in /. */
static const char *from_root(const char *path, apr_pool_t *p)
{
    return *path == '/' ? path : apr_pstrcat(p, "/", path, NULL);
}

/* The options of relay-authkeys before its operands, as its getopt() takes them. */
static void read_options(sshd_command *out, char *rest, apr_pool_t *p)
{
    char *arg;

    while ((arg = relay_sshdconf_argument(&rest)) != NULL && *arg == '-' &&
           strcmp(arg, "--") != 0) {
        for (arg++; *arg == 'l'; arg++)
            out->loopback_only = 1;
        if (*arg != 'c')
            continue;
        arg = arg[1] ? arg + 1 : relay_sshdconf_argument(&rest);
        if (!arg)
            return;
        out->conf = from_root(apr_pstrdup(p, arg), p);
    }
}

static void read_command(sshd_command *out, const char *text, apr_pool_t *p)
{
    char *rest = apr_pstrdup(p, text), *program = relay_sshdconf_argument(&rest);
    const char *name;

    if (!program || strcasecmp(program, "none") == 0)
        return;
    out->program = apr_pstrdup(p, program);
    name = strrchr(out->program, '/');
    if (name && strcmp(name + 1, "relay-authkeys") == 0)
        read_options(out, rest, p);
}

void sshd_command_read(sshd_command *out, const char *config, const char *login, apr_pool_t *p,
                       const char **trouble)
{
    reading r = {.command = {.file = NULL}};
    char *user;

    memset(out, 0, sizeof(*out));
    relay_sshdconf_read(config, login, take, &r, p, trouble);
    if (r.command.file) {
        out->file = r.command.file;
        out->line = r.command.line;
        read_command(out, r.command.text, p);
    }
    if (r.user.file) {
        user = apr_pstrdup(p, r.user.text);
        out->user = relay_sshdconf_argument(&user);
    }
}
