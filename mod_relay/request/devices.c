/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "devices.h"

#include <limits.h>
#include <string.h>

/* A device's place is one of so many. */
#define WAYS 4
/* A device that has had so many connections at the same time is not looked at any more, unless it
 * refuses one all the same. */
#define CAPABLE 16
/* A device that has not refused so many, each of which came when one of as many as it ever had had
 * just been closed, does not refuse the next one. */
#define SPARED_ENOUGH 4
/* So long a device is known to be small, after it last refused a connection, */
#define KNOWN_FOR apr_time_from_sec(600)
/* and so long its number is not tried to be raised: a request that waits in vain has a try. */
#define CERTAIN_FOR apr_time_from_sec(5)
/* A device that has answered so lately is there. */
#define THERE_FOR apr_time_from_sec(3)

/* How soon a device refuses, where nobody knows how far away it is, and the bounds of that. The
 * first answer of a connection takes two round trips, and a refusal one. A late answer tells only
 * that the page is slow, perhaps. */
#define REFUSES_AFTER_UNKNOWN apr_time_from_msec(250)
#define REFUSES_AFTER_MIN apr_time_from_msec(15)
#define REFUSES_AFTER_MAX apr_time_from_sec(2)
/* It may notice so late that one was closed. */
#define CLOSES_AFTER_MIN apr_time_from_msec(20)
/* Of many that come at the same time each takes so much longer. */
#define REFUSES_AFTER_EACH apr_time_from_msec(5)

mod_relay_device *mod_relay_devices_find(mod_relay_device *table, apr_uint64_t key, apr_time_t now)
{
    mod_relay_device *set = &table[(key % (MOD_RELAY_DEVICES_MAX / WAYS)) * WAYS], *oldest = set;
    int i;

    for (i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            set[i].used = now;
            return &set[i];
        }
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    memset(oldest, 0, sizeof(*oldest));
    oldest->key = key;
    oldest->used = now;
    return oldest;
}

static int is_small(const mod_relay_device *d, apr_time_t now)
{
    return d->refused && now - d->refused < KNOWN_FOR;
}

int mod_relay_device_is_closing(const mod_relay_device *d, apr_time_t now)
{
    apr_interval_time_t span = d->first;

    return now - d->freed < (span < CLOSES_AFTER_MIN ? CLOSES_AFTER_MIN : span);
}

unsigned mod_relay_device_allows(const mod_relay_device *d, apr_time_t now)
{
    unsigned limit = d->limit;

    if (!is_small(d, now) || !limit)
        return UINT_MAX;
    return now - d->refused < CERTAIN_FOR ? limit : limit + 1 + limit / 4;
}

int mod_relay_device_may_refuse(const mod_relay_device *d, unsigned n, apr_time_t now)
{
    if (is_small(d, now))
        return !d->limit || n > d->limit || now - d->refused < CERTAIN_FOR ||
               now - d->freed < 2 * mod_relay_device_refuses_after(d, 1, now);
    if (n <= 1 || d->proved >= CAPABLE)
        return 0;
    if (n > d->proved)
        return 1;
    /* For the device one that has just been closed counts a little longer, if it minds. */
    return n == d->proved && d->spared < SPARED_ENOUGH &&
           now - d->freed < mod_relay_device_refuses_after(d, 1, now);
}

apr_interval_time_t mod_relay_device_refuses_after(const mod_relay_device *d, unsigned n,
                                                   apr_time_t now)
{
    apr_interval_time_t span = REFUSES_AFTER_UNKNOWN;

    if (is_small(d, now) && d->refusal)
        span = REFUSES_AFTER_MIN + 4 * (apr_interval_time_t)d->refusal;
    else if (d->first < REFUSES_AFTER_UNKNOWN - 2 * REFUSES_AFTER_MIN && d->first)
        span = 2 * REFUSES_AFTER_MIN + (apr_interval_time_t)d->first;
    span += n * REFUSES_AFTER_EACH;
    return span < REFUSES_AFTER_MAX ? span : REFUSES_AFTER_MAX;
}

void mod_relay_device_answers(mod_relay_device *d, unsigned n, apr_interval_time_t took,
                              apr_time_t now)
{
    if (n > d->proved) {
        d->proved = n;
        d->spared = 0;
    }
    if (d->limit && n > d->limit)
        d->limit = n;
    d->answered = now;
    if (took <= 0)
        return;
    if (took > REFUSES_AFTER_MAX)
        took = REFUSES_AFTER_MAX;
    /* A quick answer counts at once; what is slow may be the page, rather than the line. */
    if (!d->first || took < d->first)
        d->first = (apr_uint32_t)took;
    else
        d->first += (apr_uint32_t)(took - d->first) / 64;
}

void mod_relay_device_takes(mod_relay_device *d, unsigned n)
{
    if (n == d->proved && d->spared < SPARED_ENOUGH)
        d->spared++;
}

void mod_relay_device_refuses(mod_relay_device *d, apr_interval_time_t after, apr_time_t now)
{
    if (!is_small(d, now))
        d->limit = 0;
    d->refused = now;
    d->spared = 0;
    if (after > REFUSES_AFTER_MAX)
        after = REFUSES_AFTER_MAX;
    if (after > d->refusal)
        d->refusal = (apr_uint32_t)after;
    else
        d->refusal -= (apr_uint32_t)(d->refusal - after) / 16;
}

void mod_relay_device_takes_only(mod_relay_device *d, unsigned n, apr_time_t now)
{
    d->limit = n ? n : 1;
    if (d->proved > d->limit)
        d->proved = d->limit;
    d->refused = now;
    d->spared = 0;
}

void mod_relay_device_refuses_later(mod_relay_device *d)
{
    apr_interval_time_t longer = REFUSES_AFTER_MIN + 2 * (apr_interval_time_t)d->refusal;

    d->refusal = (apr_uint32_t)(longer < REFUSES_AFTER_MAX ? longer : REFUSES_AFTER_MAX);
}

int mod_relay_device_is_away(const mod_relay_device *d, apr_time_t now)
{
    return now - d->answered >= THERE_FOR;
}

unsigned mod_relay_devices_small(const mod_relay_device *table, apr_time_t now)
{
    unsigned n = 0, i;

    for (i = 0; i < MOD_RELAY_DEVICES_MAX; i++)
        n += table[i].key && is_small(&table[i], now);
    return n;
}
