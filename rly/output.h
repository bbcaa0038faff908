/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Output for people: text that is safe on a terminal, aligned tables, points in time.
 */
#ifndef RLY_OUTPUT_H
#define RLY_OUTPUT_H

#include "rly.h"

#include <apr_tables.h>

/** The text without anything a terminal would act on: controls, bidirectional overrides and bytes
 * that are no UTF-8 become `?`. */
const char *rly_text_clean(const char *text, apr_pool_t *p);

/** The text as valid UTF-8, for JSON: bytes that are none become U+FFFD. */
const char *rly_text_utf8(const char *text, apr_pool_t *p);

/** A word as a POSIX shell reads it back. */
const char *rly_shell_quote(const char *word, apr_pool_t *p);

/** A table whose columns are as wide as they must be; one without any cell is left out. */
typedef struct rly_table rly_table;

/** @param headings as many as there are columns; NULL: a table without a heading line */
rly_table *rly_table_create(apr_pool_t *p, int ncolumns, const char *const *headings);

/** Adds a row; a cell may be NULL: empty. The texts are cleaned. */
void rly_table_add(rly_table *t, const char *const *cells);

void rly_table_print(const rly_table *t);

/** `2026-11-20T21:05:00Z`, for scripts. */
const char *rly_time_rfc3339(apr_time_t t, apr_pool_t *p);

/** `2026-11-20 22:05 CET`, in the user's own zone. */
const char *rly_time_local(apr_time_t t, apr_pool_t *p);

/** `1 h 59 min`: the two largest units. */
const char *rly_time_span(apr_interval_time_t span, apr_pool_t *p);

/** `2026-11-20 22:05 CET (in 1 h 59 min)`, or `(2 min ago)`. */
const char *rly_time_both(apr_time_t t, apr_time_t now, apr_pool_t *p);

#endif
