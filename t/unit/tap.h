/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * TAP for the unit tests: each check prints a line and says whether it held. A test's main() ends
 * with `return done_testing();`.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

static inline int tap_report(int holds, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static inline int tap_report(int holds, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    printf("%sok %d - ", holds ? "" : "not ", ++tap_count);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (!holds) {
        tap_failed++;
        printf("# failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return holds;
}

/** A check: ok(condition, "what %s", …). */
#define ok(condition, ...) tap_report((condition) ? 1 : 0, __FILE__, __LINE__, __VA_ARGS__)

/** Two strings are the same; either may be NULL. */
#define is(got, expected, ...) \
    do { \
        const char *tap_got = (got), *tap_expected = (expected); \
        if (!tap_report(tap_got && tap_expected ? strcmp(tap_got, tap_expected) == 0 \
                                                : tap_got == tap_expected, \
                        __FILE__, __LINE__, __VA_ARGS__)) \
            printf("# got:      %s\n# expected: %s\n", tap_got ? tap_got : "(NULL)", \
                   tap_expected ? tap_expected : "(NULL)"); \
    } while (0)

static inline int done_testing(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed > 0 || tap_count == 0;
}

#endif
