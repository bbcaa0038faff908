/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `events`: the stream of what was done to tunnels. C appends to it by this function, Lua by
 * event() of lua/prelude.lua; the stream is capped alike by both.
 */
#ifndef RELAY_EVENT_H
#define RELAY_EVENT_H

#include "relay_config.h"

/** About so many events are kept. */
#define RELAY_EVENTS_KEPT 10000

/** What every event says. */
typedef struct relay_event {
    const char *what;   /* open, close, up … */
    const char *tunnel; /* "" if it is about none */
    const char *relay;
    const char *by; /* who did it: user@host, rlyd@relay */
} relay_event;

#define RELAY_EVENT_MORE_MAX 8 /* pairs */
#define RELAY_EVENT_ARGV_MAX (14 + 2 * RELAY_EVENT_MORE_MAX)

/**
 * The command that appends an event.
 * @param argv out: its words, which live as long as what was passed
 * @param key relay_keyname() of the stream
 * @param more what else it says: field, value, field, value…, at most RELAY_EVENT_MORE_MAX pairs,
 * ended by NULL; a value that is NULL ends them, too
 * @return how many words
 */
int relay_event_command(const char *argv[RELAY_EVENT_ARGV_MAX], const char *key,
                        const relay_event *event, const char *const *more);

#endif
