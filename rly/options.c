/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"

#include "relay_duration.h"

#include <apr_getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const apr_getopt_option_t all_options[] = {
    {"config", 'c', 1, NULL}, {"help", 'h', 0, NULL},   {"name", 'n', 1, NULL},
    {"ttl", 't', 1, NULL},    {"device", 'd', 1, NULL}, {"key", 'k', 1, NULL},
    {"output", 'o', 1, NULL},
};
#define NOPTIONS (sizeof(all_options) / sizeof(all_options[0]))

/* APR's own messages start with argv[0], which is `rly`. */
static void complain(void *baton, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void complain(void *baton, const char *fmt, ...)
{
    static const char prefix[] = "rly: ";
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    text[strcspn(text, "\n")] = '\0';
    rly_error("%s",
              strncmp(text, prefix, sizeof(prefix) - 1) == 0 ? text + sizeof(prefix) - 1 : text);
}

static int set_once(const char **where, char letter, const char *value, const rly *r)
{
    if (*where)
        return rly_usage_error(r, "-%c is given twice", letter);
    *where = value;
    return RLY_DONE;
}

static int set_ttl(rly_options *o, const char *value, const rly *r)
{
    const char *why = NULL;
    int status = set_once(&o->ttl_text, 't', value, r);

    if (status != RLY_DONE)
        return status;
    if (relay_duration_parse(&o->ttl, value, r->p, &why) != APR_SUCCESS)
        return rly_usage_error(r, "-t %s: %s", value, why);
    if (o->ttl == 0)
        return rly_usage_error(
            r, "-t %s: a tunnel has to live for some time, for example 90s, 15m, 2h or 7d", value);
    return RLY_DONE;
}

static int take(rly_options *o, rly *r, int letter, const char *value)
{
    switch (letter) {
    case 'c':
        r->conf_path = value;
        return RLY_DONE;
    case 'n':
        APR_ARRAY_PUSH(o->names, const char *) = value;
        return RLY_DONE;
    case 't':
        return set_ttl(o, value, r);
    case 'd':
        return set_once(&o->device, 'd', value, r);
    case 'k':
        return set_once(&o->key, 'k', value, r);
    case 'o':
        return set_once(&o->dir, 'o', value, r);
    case 'j':
        o->json = 1;
        return RLY_DONE;
    case 'T':
        o->tls = 1;
        return RLY_DONE;
    case 'O':
        o->take_over = 1;
        return RLY_DONE;
    }
    o->help = 1;
    return RLY_DONE;
}

int rly_options_parse(rly_options *o, rly *r, const char *takes, int argc, const char *const *argv)
{
    apr_getopt_option_t table[NOPTIONS + 4];
    apr_getopt_t *state;
    const char *value;
    apr_status_t rv;
    apr_size_t n = 0;
    int letter, status;

    memset(o, 0, sizeof(*o));
    memset(table, 0, sizeof(table));
    o->names = apr_array_make(r->p, 2, sizeof(const char *));
    for (apr_size_t i = 0; i < NOPTIONS; i++)
        if (strchr("ch", all_options[i].optch) || strchr(takes, all_options[i].optch))
            table[n++] = all_options[i];
    if (strchr(takes, 'j'))
        table[n++] = (apr_getopt_option_t){"json", 'j', 0, NULL};
    if (strchr(takes, 'T'))
        table[n++] = (apr_getopt_option_t){"tls", 'T', 0, NULL};
    if (strchr(takes, 'O'))
        table[n++] = (apr_getopt_option_t){"take-over", 'O', 0, NULL};

    apr_getopt_init(&state, r->p, argc, argv);
    state->interleave = 1;
    state->errfn = complain;
    while ((rv = apr_getopt_long(state, table, &letter, &value)) == APR_SUCCESS)
        if ((status = take(o, r, letter, value)) != RLY_DONE)
            return status;
    if (rv != APR_EOF)
        return rly_usage_error(r, NULL);
    o->noperands = state->argc - state->ind;
    o->operands = state->argv + state->ind;
    return RLY_DONE;
}

int rly_help_print(const rly_command *command)
{
    printf("usage: rly %s%s%s\n\n%s", command->name, *command->usage ? " " : "", command->usage,
           command->help);
    return RLY_DONE;
}
