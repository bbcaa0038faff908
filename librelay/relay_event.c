/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_event.h"

int relay_event_command(const char *argv[RELAY_EVENT_ARGV_MAX], const char *key,
                        const relay_event *event, const char *const *more)
{
    const char *const begin[] = {
        "XADD",  key,          "MAXLEN",    "~",      APR_STRINGIFY(RELAY_EVENTS_KEPT),
        "*",     "what",       event->what, "tunnel", event->tunnel,
        "relay", event->relay, "by",        event->by};
    int argc;

    for (argc = 0; argc < (int)(sizeof(begin) / sizeof(begin[0])); argc++)
        argv[argc] = begin[argc];
    for (; argc + 2 <= RELAY_EVENT_ARGV_MAX && more[0] && more[1]; more += 2) {
        argv[argc++] = more[0];
        argv[argc++] = more[1];
    }
    return argc;
}
