/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_duration.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *unit;
    apr_interval_time_t span;
} units[] = {
    {"d", APR_INT64_C(86400000000)},
    {"h", APR_INT64_C(3600000000)},
    {"m", 60000000},
    {"s", 1000000},
    {"ms", 1000},
};

apr_status_t relay_duration_parse(apr_interval_time_t *out, const char *text, apr_pool_t *p,
                                  const char **why)
{
    apr_interval_time_t n = 0;
    const char *c = text;
    unsigned i;

    for (; isdigit((unsigned char)*c); c++) {
        n = n * 10 + (*c - '0');
        if (n > RELAY_DURATION_MAX)
            goto too_long;
    }
    if (c == text)
        goto malformed;
    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(c, units[i].unit))
            continue;
        if (n > RELAY_DURATION_MAX / units[i].span)
            goto too_long;
        *out = n * units[i].span;
        return APR_SUCCESS;
    }
malformed:
    RELAY_WHY(
        why, p,
        "`%.40s' is not a time span: write a whole number and a unit, like 90s, 15m, 2h or 7d",
        text);
    return RELAY_EINPUT;
too_long:
    RELAY_WHY(why, p, "`%.40s' is longer than ten years", text);
    return RELAY_EINPUT;
}

const char *relay_duration_print(apr_interval_time_t span, apr_pool_t *p)
{
    unsigned i, last = sizeof(units) / sizeof(units[0]) - 1;

    for (i = 0; i < last; i++)
        if (span >= units[i].span && span % units[i].span == 0)
            break;
    if (span == 0)
        return "0s";
    return apr_psprintf(p, "%" APR_INT64_T_FMT "%s", (apr_int64_t)(span / units[i].span),
                        units[i].unit);
}
