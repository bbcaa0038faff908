/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Texts as those take them who get them: a terminal, JSON, a shell, a script that reads times.
 * Pure; results are in pool p.
 */
#ifndef RELAY_PRINT_H
#define RELAY_PRINT_H

#include "relay.h"

/** The text without anything a terminal would act on: controls, bidirectional overrides and bytes
 * that are no UTF-8 become `?`. */
const char *relay_print_clean(const char *text, apr_pool_t *p);

/** The text as valid UTF-8, for JSON: bytes that are none become U+FFFD. */
const char *relay_print_utf8(const char *text, apr_pool_t *p);

/** A word as a POSIX shell reads it back. */
const char *relay_print_shell(const char *word, apr_pool_t *p);

/** `2026-11-20T21:05:00Z`, for scripts. */
const char *relay_print_rfc3339(apr_time_t t, apr_pool_t *p);

#endif
