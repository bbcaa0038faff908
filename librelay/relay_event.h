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

#define RELAY_EVENT_PAIRS_MAX 12
#define RELAY_EVENT_ARGV_MAX (6 + 2 * RELAY_EVENT_PAIRS_MAX)

/**
 * The command that appends an event.
 * @param argv out: its words, which live as long as key and pairs
 * @param key relay_keyname() of the stream
 * @param pairs field, value, field, value…, at most RELAY_EVENT_PAIRS_MAX pairs, ended by NULL:
 * `what`, `tunnel` (may be ""), `relay` and `by` first. A value that is NULL ends them, too
 * @return how many words
 */
int relay_event_command(const char *argv[RELAY_EVENT_ARGV_MAX], const char *key,
                        const char *const *pairs);

#endif
