/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Time spans as people write them: a whole number and one unit, `500ms 90s 15m 2h 7d`.
 * Used for TTLs, the cooldown and time-outs, in relay.conf, on command lines and in directives.
 */
#ifndef RELAY_DURATION_H
#define RELAY_DURATION_H

#include "relay.h"

/** The largest span accepted: ten years, far from any overflow. */
#define RELAY_DURATION_MAX (apr_time_from_sec(APR_INT64_C(10) * 365 * 86400))

/**
 * Parses a span: digits directly followed by ms, s, m, h or d. No sign, no space, no fraction.
 * @param out microseconds, 0 to RELAY_DURATION_MAX; the caller decides whether 0 makes sense
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_duration_parse(apr_interval_time_t *out, const char *text, apr_pool_t *p,
                                  const char **why);

/** The shortest exact spelling of a span: 15m, 7d, 1500ms. */
const char *relay_duration_print(apr_interval_time_t span, apr_pool_t *p);

#endif
