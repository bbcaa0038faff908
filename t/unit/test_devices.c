/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is learnt of devices that take few connections. */

#include "tap.h"
#include "../../mod_relay/request/devices.h"

#include <limits.h>

#define S apr_time_from_sec(1)
#define MS apr_time_from_msec(1)
#define NOW (1000 * S)

static mod_relay_device table[MOD_RELAY_DEVICES_MAX];

static void test_places(void)
{
    mod_relay_device *d = mod_relay_devices_find(table, 7, NOW);
    unsigned i, others = 0;

    d->limit = 3;
    ok(mod_relay_devices_find(table, 7, NOW + S) == d && d->limit == 3, "a device has its place");
    /* four of the same set */
    for (i = 1; i <= 3; i++)
        others += mod_relay_devices_find(table, 7 + i * MOD_RELAY_DEVICES_MAX, NOW + 2 * S) != d;
    ok(others == 3 && d->key == 7, "others of its set have places of their own");
    mod_relay_devices_find(table, 7 + 4 * MOD_RELAY_DEVICES_MAX, NOW + 3 * S);
    ok(d->key != 7 && !d->limit, "the one that was not used for longest loses it, and all is new");
}

static void test_limit(void)
{
    static const struct {
        apr_time_t later;
        unsigned allowed;
        const char *what;
    } rows[] = {{0, 8, "at once"},
                {4 * S, 8, "for some seconds"},
                {5 * S, 11, "then some more are tried"},
                {599 * S, 11, "for ten minutes"},
                {600 * S, UINT_MAX, "then it is forgotten"}};
    mod_relay_device d = {0};
    unsigned i;

    ok(mod_relay_device_allows(&d, NOW) == UINT_MAX, "of an unknown device nothing is held back");
    mod_relay_device_takes_only(&d, 8, NOW);
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ok(mod_relay_device_allows(&d, NOW + rows[i].later) == rows[i].allowed, "it takes 8: %s",
           rows[i].what);
    mod_relay_device_answers(&d, 10, 0, NOW + 6 * S);
    ok(mod_relay_device_allows(&d, NOW + 6 * S) == 13, "ten had answers: its number is ten");
    mod_relay_device_takes_only(&d, 0, NOW);
    ok(mod_relay_device_allows(&d, NOW) == 1, "never less than one");
    ok(d.proved == 1, "and what was proved before is not any more");
}

static void test_looked_at(void)
{
    mod_relay_device d = {0};
    unsigned i;

    ok(!mod_relay_device_may_refuse(&d, 1, NOW), "a device's first connection is used at once");
    ok(mod_relay_device_may_refuse(&d, 2, NOW), "the second one is looked at");
    mod_relay_device_answers(&d, 6, 20 * MS, NOW);
    ok(!mod_relay_device_may_refuse(&d, 6, NOW), "six had answers at the same time: six are not");
    ok(mod_relay_device_may_refuse(&d, 7, NOW), "the seventh one is");
    d.freed = NOW;
    ok(mod_relay_device_may_refuse(&d, 6, NOW + MS), "the sixth is, just after one has ended");
    ok(!mod_relay_device_may_refuse(&d, 5, NOW + MS), "not the fifth");
    for (i = 0; i < 4; i++) {
        ok(mod_relay_device_may_refuse(&d, 6, NOW + MS), "the sixth is looked at, %u times", i + 1);
        mod_relay_device_takes(&d, 6);
    }
    ok(!mod_relay_device_may_refuse(&d, 6, NOW + MS), "then not any more, if it was never refused");
    mod_relay_device_answers(&d, 7, 20 * MS, NOW);
    ok(mod_relay_device_may_refuse(&d, 7, NOW + MS), "but when there were seven the seventh is");
    d.proved = 6;
    for (i = 0; i < 4; i++)
        mod_relay_device_takes(&d, 6);
    mod_relay_device_refuses(&d, 5 * MS, NOW);
    ok(mod_relay_device_may_refuse(&d, 1, NOW), "of a device that refuses each one is");
    ok(mod_relay_device_allows(&d, NOW) == UINT_MAX, "though its number is not known yet");
    mod_relay_device_takes_only(&d, 6, NOW);
    ok(mod_relay_device_may_refuse(&d, 1, NOW + 4 * S), "each one is for some seconds");
    ok(!mod_relay_device_may_refuse(&d, 6, NOW + 5 * S), "then none is within its number,");
    ok(mod_relay_device_may_refuse(&d, 7, NOW + 5 * S), "and one above it is");
    ok(!mod_relay_device_may_refuse(&d, 1, NOW + 700 * S), "all that is forgotten some day");
    ok(d.spared == 0, "after a refusal it is looked at once more");
    d = (mod_relay_device){.proved = 16};
    ok(!mod_relay_device_may_refuse(&d, 100, NOW), "a device that has had many is not looked at");
    mod_relay_device_refuses(&d, 5 * MS, NOW);
    ok(mod_relay_device_may_refuse(&d, 100, NOW), "unless it refuses one all the same");
}

static void test_how_long(void)
{
    mod_relay_device d = {0};
    apr_interval_time_t unknown = mod_relay_device_refuses_after(&d, 1, NOW), near, far, many;

    mod_relay_device_answers(&d, 1, 10 * MS, NOW);
    near = mod_relay_device_refuses_after(&d, 1, NOW);
    ok(near < unknown && near > 10 * MS, "a near device refuses sooner than an unknown one");
    many = mod_relay_device_refuses_after(&d, 50, NOW);
    ok(many > near, "the last of many later than the first");
    d.first = 0;
    mod_relay_device_answers(&d, 1, 600 * MS, NOW);
    far = mod_relay_device_refuses_after(&d, 1, NOW);
    ok(far == unknown, "a late answer tells nothing");
    d.first = 0;
    mod_relay_device_answers(&d, 1, 3600 * S, NOW);
    ok(mod_relay_device_refuses_after(&d, 1, NOW) <= 2 * S,
       "and none is waited for longer than 2 s");
    mod_relay_device_answers(&d, 1, 8 * MS, NOW);
    ok(mod_relay_device_refuses_after(&d, 1, NOW) <= near, "one quick answer tells how near it is");
    mod_relay_device_refuses(&d, 100 * MS, NOW);
    near = mod_relay_device_refuses_after(&d, 1, NOW);
    ok(near > 100 * MS, "a refusal tells how long it takes");
    mod_relay_device_refuses_later(&d);
    ok(mod_relay_device_refuses_after(&d, 1, NOW) > near, "one that was not waited for, longer");
    while (d.refusal < 2 * S)
        mod_relay_device_refuses_later(&d);
    ok(mod_relay_device_refuses_after(&d, 1000, NOW) == 2 * S, "within the bound");
}

static void test_away(void)
{
    mod_relay_device d = {0};

    mod_relay_device_answers(&d, 1, 0, NOW);
    ok(!mod_relay_device_is_away(&d, NOW + S), "a device that has just answered is there");
    ok(mod_relay_device_is_away(&d, NOW + 5 * S), "a while later it may be away");
    mod_relay_device_refuses(&d, MS, NOW);
    table[0] = d;
    table[0].key = 1;
    ok(mod_relay_devices_small(table, NOW) >= 1, "small ones are counted");
    ok(mod_relay_devices_small(table, NOW + 700 * S) == 0, "for as long as they are known");
}

int main(void)
{
    test_places();
    test_limit();
    test_looked_at();
    test_how_long();
    test_away();
    return done_testing();
}
