/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Output: aligned tables and points in time for people, a line of JSON for scripts.
 */
#ifndef RLY_OUTPUT_H
#define RLY_OUTPUT_H

#include "rly.h"

#include <apr_tables.h>
#include <jansson.h>

/** A table whose columns are as wide as they must be; one without any cell is left out. */
typedef struct rly_table rly_table;

/** @param headings as many as there are columns; NULL: a table without a heading line */
rly_table *rly_table_create(apr_pool_t *p, int ncolumns, const char *const *headings);

/** Adds a row; a cell may be NULL: empty. The texts are cleaned. */
void rly_table_add(rly_table *t, const char *const *cells);

void rly_table_print(const rly_table *t);

/** `2026-11-20 22:05 CET`, in the user's own zone. */
const char *rly_time_local(apr_time_t t, apr_pool_t *p);

/** `1 h 59 min`: the two largest units. */
const char *rly_time_span(apr_interval_time_t span, apr_pool_t *p);

/** `2026-11-20 22:05 CET (in 1 h 59 min)`, or `(2 min ago)`. */
const char *rly_time_both(apr_time_t t, apr_time_t now, apr_pool_t *p);

/** Prints one line, and drops the reference. @return RLY_DONE, or RLY_REFUSED when memory ran out
 */
int rly_json_print(json_t *json);

#endif
