/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_clock.h"

#include <time.h>

apr_time_t relay_clock(void)
{
    struct timespec ts;

    /* CLOCK_MONOTONIC stands still while the host sleeps, and a tunnel's time does not. */
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return apr_time_from_sec(ts.tv_sec) + ts.tv_nsec / 1000;
}
