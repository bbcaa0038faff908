/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_event.h"

int relay_event_command(const char *argv[RELAY_EVENT_ARGV_MAX], const char *key,
                        const char *const *pairs)
{
    const char *const begin[] = {"XADD", key, "MAXLEN", "~", APR_STRINGIFY(RELAY_EVENTS_KEPT), "*"};
    int n, argc = (int)(sizeof(begin) / sizeof(begin[0]));

    for (n = 0; n < argc; n++)
        argv[n] = begin[n];
    for (; argc + 2 <= RELAY_EVENT_ARGV_MAX && pairs[0] && pairs[1]; pairs += 2) {
        argv[argc++] = pairs[0];
        argv[argc++] = pairs[1];
    }
    return argc;
}
