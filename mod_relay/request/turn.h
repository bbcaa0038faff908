/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A request that waits for its turn holds a thread meanwhile. So it waits only while others of the
 * same device end, for a minute at most, and only so many may wait. A request's thread calls.
 */
#ifndef MOD_RELAY_TURN_H
#define MOD_RELAY_TURN_H

#include "shared.h"

#include <httpd.h>

typedef struct mod_relay_turn {
    request_rec *r;
    apr_time_t began;
    unsigned cell; /* in the shared counts, of `room` */
} mod_relay_turn;

/**
 * @param room where the waiting are counted, over all processes
 * @param room_max so many may wait there
 * @return 0: there is no room
 */
int mod_relay_turn_begin(mod_relay_turn *turn, request_rec *r, const char *room, unsigned room_max);

/**
 * Waits for a moment.
 * @param quiet_until it waits no longer than this, unless another one ends
 * @return 0: it has waited for long enough, or its visitor has left
 */
int mod_relay_turn_wait(mod_relay_turn *turn, apr_time_t quiet_until);

/** Once for each successful begin. */
void mod_relay_turn_end(mod_relay_turn *turn);

/** The number of requests that wait in a room; for people to read. */
unsigned mod_relay_turn_waiting(const char *room);

#endif
