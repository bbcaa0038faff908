/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_duration: time spans as people write them, there and back. */
#include "relay_duration.h"
#include "tap.h"

#include <apr_escape.h>
#include <apr_general.h>

static const struct {
    const char *text;
    apr_int64_t ms;
    const char *printed;
} good[] = {
    {"500ms", 500, "500ms"},
    {"1ms", 1, "1ms"},
    {"90s", 90000, "90s"},
    {"60s", 60000, "1m"},
    {"15m", 900000, "15m"},
    {"2h", 7200000, "2h"},
    {"7d", 604800000, "7d"},
    {"24h", 86400000, "1d"},
    {"48h", 172800000, "2d"},
    {"36h", 129600000, "36h"},
    {"1500ms", 1500, "1500ms"},
    {"2000ms", 2000, "2s"},
    {"0s", 0, "0s"},
    {"0ms", 0, "0s"},
    {"0d", 0, "0s"},
    {"007s", 7000, "7s"},
    {"3650d", APR_INT64_C(315360000000), "3650d"},
    {"87600h", APR_INT64_C(315360000000), "3650d"},
    {"315360000000ms", APR_INT64_C(315360000000), "3650d"},
    {"000000000000000000000000000001s", 1000, "1s"},
};

static const char *const malformed[] = {
    "",     "0",    "5",        "7",    "s",     "m",     "ms",  "s1",   "one",       "-1s",
    "-5m",  "-7s",  "+1s",      " 1s",  " 1h",   "1s ",   "1h ", "1 s",  "7 s",       "1\n",
    "1.5s", "1.5h", "1,5h",     "1e3s", "0x10s", "1h30m", "1S",  "7S",   "1H",        "1D",
    "1sec", "7sec", "infinite", "1w",   "1y",    "11y",   "1us", "1mss", "\xc2\xb2s", "\xd9\xa3h",
};

static const char *const too_long[] = {
    "3651d",
    "4000d",
    "4015d",
    "99999999999999999999d",
    "87601h",
    "315360001s",
    "315360000001ms",
    "9223372036854775807ms",
    "9223372036854775808s",
    "18446744073709551617s",
    "99999999999999999999999999999999999999d",
    "106751991167301d",
    "4294967296h",
};

static apr_pool_t *pool;

static void refused(const char *text, const char *fault)
{
    apr_interval_time_t span = -1;
    const char *why = "";

    ok(relay_duration_parse(&span, text, pool, &why) == RELAY_EINPUT, "refused: %s",
       apr_pescape_echo(pool, text, 0));
    is(why, apr_psprintf(pool, "`%.40s' %s", text, fault), "and the error says why");
    ok(span == -1, "nothing is given out");
    ok(relay_duration_parse(&span, text, pool, NULL) == RELAY_EINPUT, "the same without why");
}

int main(void)
{
    apr_interval_time_t span;
    const char *why;
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        span = -1;
        ok(relay_duration_parse(&span, good[i].text, pool, &why) == APR_SUCCESS &&
               span == good[i].ms * 1000,
           "%s", good[i].text);
        is(relay_duration_print(span, pool), good[i].printed, "printed as %s", good[i].printed);
    }
    for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        refused(malformed[i], "is not a time span: write a whole number and a unit, like 90s, "
                              "15m, 2h or 7d");
    for (i = 0; i < sizeof(too_long) / sizeof(too_long[0]); i++)
        refused(too_long[i], "is longer than ten years");
    for (span = 1000; span < RELAY_DURATION_MAX; span += span / 3 + 7000) {
        apr_interval_time_t whole = span / 1000 * 1000, again = -1;

        if (relay_duration_parse(&again, relay_duration_print(whole, pool), pool, NULL) !=
                APR_SUCCESS ||
            again != whole)
            break;
    }
    ok(span >= RELAY_DURATION_MAX, "what is printed is read back");
    apr_terminate();
    return done_testing();
}
