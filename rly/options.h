/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The options of all commands: each means the same wherever it is taken. They may stand before or
 * after the operands.
 */
#ifndef RLY_OPTIONS_H
#define RLY_OPTIONS_H

#include "rly.h"

#include <apr_tables.h>

typedef struct rly_options {
    apr_array_header_t *names; /* -n, const char *, in their order */
    const char *ttl_text;      /* -t as written, NULL without */
    apr_interval_time_t ttl;   /* its value, > 0 */
    const char *device;        /* -d */
    const char *key;           /* -k */
    const char *dir;           /* -o */
    int json;                  /* --json */
    int tls;                   /* --tls */
    int take_over;             /* --take-over */
    int help;                  /* --help; nothing else counts then */
    int noperands;
    const char *const *operands;
} rly_options;

/**
 * Reads a command's arguments.
 * @param takes the letters that the command takes, of `ntdkojTO` (j: --json, T: --tls, O:
 * --take-over); -c and --help it always does
 * @return RLY_DONE, or RLY_USAGE after a message
 */
int rly_options_parse(rly_options *o, rly *r, const char *takes, int argc, const char *const *argv);

/** Prints a command's help. @return RLY_DONE */
int rly_help_print(const rly_command *command);

#endif
