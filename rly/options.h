/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The options of all commands: each means the same wherever it is taken. They may stand before or
 * after the operands. options.def lists them.
 */
#ifndef RLY_OPTIONS_H
#define RLY_OPTIONS_H

#include "rly.h"

#include <apr_tables.h>

/* An option's type, by its kind. */
typedef const char *rly_option_last;         /* NULL: not given */
typedef const char *rly_option_once;         /* NULL: not given */
typedef apr_array_header_t *rly_option_list; /* const char *, in their order */
typedef apr_interval_time_t rly_option_span; /* 0: not given */
typedef int rly_option_flag;

typedef struct rly_options {
#define OPTION(letter, name, argument, kind, member, ...) rly_option_##kind member;
#include "options.def"
    int noperands;
    const char *const *operands;
} rly_options;

/**
 * Reads the arguments of r->command: the options that it takes, -c and --help. With --help nothing
 * else counts.
 * @return RLY_DONE, or RLY_USAGE after a message
 */
int rly_options_parse(rly_options *o, rly *r, int argc, const char *const *argv);

/** Prints a command's help. @return RLY_DONE */
int rly_help_print(const rly_command *command);

#endif
