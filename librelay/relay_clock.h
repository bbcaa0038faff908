/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** A clock for spans: steps of the host's clock do not matter to it. Any thread may ask. */
#ifndef RELAY_CLOCK_H
#define RELAY_CLOCK_H

#include <apr_time.h>

/** @return microseconds since the host was started, those included in which it slept */
apr_time_t relay_clock(void);

#endif
