/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"

#include "relay_duration.h"

#include <apr_getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMNS 80
#define HELP_INDENT 26 /* where an option's text begins */

typedef enum { KIND_last, KIND_once, KIND_list, KIND_span, KIND_flag } option_kind;

static const struct {
    char letter;
    const char *name, *argument; /* argument NULL: it takes none */
    option_kind kind;
    size_t offset;
    const char *help;
} all_options[] = {
#define BRIEF(text) text
#define OPTION(letter, name, argument, kind, member, brief, ...) \
    {letter, name, argument, KIND_##kind, offsetof(rly_options, member), brief},
#include "options.def"
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

static int set_span(apr_interval_time_t *span, char letter, const char *value, const rly *r)
{
    const char *why = NULL;

    if (relay_duration_parse(span, value, r->p, &why) != APR_SUCCESS)
        return rly_usage_error(r, "-%c %s: %s", letter, value, why);
    if (*span == 0)
        return rly_usage_error(
            r, "-%c %s: a tunnel has to live for some time, for example 90s, 15m, 2h or 7d", letter,
            value);
    return RLY_DONE;
}

static int set_option(rly_options *o, apr_size_t i, const char *value, const rly *r)
{
    void *member = (char *)o + all_options[i].offset;
    char letter = all_options[i].letter;

    switch (all_options[i].kind) {
    case KIND_flag:
        *(rly_option_flag *)member = 1;
        return RLY_DONE;
    case KIND_list:
        APR_ARRAY_PUSH(*(rly_option_list *)member, const char *) = value;
        return RLY_DONE;
    case KIND_last:
        *(rly_option_last *)member = value;
        return RLY_DONE;
    case KIND_once:
        if (*(rly_option_once *)member)
            break;
        *(rly_option_once *)member = value;
        return RLY_DONE;
    case KIND_span:
        if (*(rly_option_span *)member)
            break;
        return set_span(member, letter, value, r);
    }
    return rly_usage_error(r, "-%c is given twice", letter);
}

/* -c, -A, -C and -h belong to every command. */
static int takes(const rly_command *command, char letter)
{
    return strchr("cACh", letter) || strchr(command->takes, letter);
}

int rly_options_parse(rly_options *o, rly *r, int argc, const char *const *argv)
{
    apr_getopt_option_t table[NOPTIONS + 1] = {{NULL, 0, 0, NULL}};
    apr_getopt_t *state;
    const char *value;
    apr_status_t rv;
    apr_size_t i, n = 0;
    int letter, status;

    memset(o, 0, sizeof(*o));
    o->names = apr_array_make(r->p, 2, sizeof(const char *));
    for (i = 0; i < NOPTIONS; i++)
        if (takes(r->command, all_options[i].letter))
            table[n++] =
                (apr_getopt_option_t){all_options[i].name, (unsigned char)all_options[i].letter,
                                      all_options[i].argument != NULL, NULL};

    apr_getopt_init(&state, r->p, argc, argv);
    state->interleave = 1;
    state->errfn = complain;
    while ((rv = apr_getopt_long(state, table, &letter, &value)) == APR_SUCCESS) {
        for (i = 0; all_options[i].letter != letter; i++)
            ;
        if ((status = set_option(o, i, value, r)) != RLY_DONE)
            return status;
    }
    if (rv != APR_EOF)
        return rly_usage_error(r, NULL);
    if (o->config)
        r->conf_path = o->config;
    if (o->api)
        r->api_url = o->api;
    if (o->cacert)
        r->cacert = o->cacert;
    o->noperands = state->argc - state->ind;
    o->operands = state->argv + state->ind;
    return RLY_DONE;
}

/* ---- help */

/* Prints text, and breaks its lines before HELP_COLUMNS; a line after a break begins with indent
 * blanks. The first begins in column indent. */
static void print_filled(const char *text, int indent)
{
    int column = indent;

    while (*text) {
        int blanks = (int)strspn(text, " "), len = (int)strcspn(text + blanks, " \n");

        if (blanks && column + blanks + len > HELP_COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
            text += blanks;
            blanks = 0;
        }
        printf("%.*s", blanks + len, text);
        column += blanks + len;
        text += blanks + len;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
            text++;
        }
    }
    if (column)
        putchar('\n');
}

static void print_option(apr_size_t i)
{
    int len = printf("  -%c, --%s%s%s", all_options[i].letter, all_options[i].name,
                     all_options[i].argument ? " " : "",
                     all_options[i].argument ? all_options[i].argument : "");

    printf("%*s", HELP_INDENT - len, "");
    print_filled(all_options[i].help, HELP_INDENT);
}

int rly_help_print(const rly_command *command)
{
    printf("usage: rly %s%s", command->name, *command->usage ? " " : "");
    print_filled(command->usage, (int)strlen("usage: rly  ") + (int)strlen(command->name));
    putchar('\n');
    print_filled(command->about, 0);
    putchar('\n');
    for (apr_size_t i = 0; i < NOPTIONS; i++)
        if (takes(command, all_options[i].letter))
            print_option(i);
    if (command->examples)
        printf("\nExamples:\n%s", command->examples);
    return RLY_DONE;
}
