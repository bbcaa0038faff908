/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Commands that do several things to one kind of things: `rly device list'. Each verb is a
 * function; the operands behind it are its own.
 */
#ifndef RLY_VERBS_H
#define RLY_VERBS_H

#include "options.h"
#include "relay_rows.h"

/** @param operands n of them, behind the verb @return an exit status */
typedef int rly_verb_fn(rly *r, const rly_options *o, int n, const char *const *operands);

typedef struct rly_verb {
    const char *name;     /* NULL ends a list of them */
    rly_verb_fn *run;     /* rly_connect() has been called */
    int least, most;      /* operands */
    const char *operands; /* what is said where there are others: `which device? …' */
} rly_verb;

/** Reads the options, and runs the verb that the first operand names. */
int rly_verbs_run(rly *r, int argc, const char *const *argv, const rly_verb *verbs);

/** Runs one() for each operand. @return the highest exit status */
int rly_for_each(rly *r, int n, const char *const *operands, int (*one)(rly *r, const char *id));

/** Says what is wrong. @return the exit status that the error means */
int rly_fail(apr_status_t rv, const char *why);

#define RLY_ANY_NUMBER 100000

#endif
