/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "turn.h"
#include "mod_relay.h"
#include "visitor.h"

#include <apr_atomic.h>

#define ALL_MAX apr_time_from_sec(60)
#define MOMENT apr_time_from_msec(5)
/* The visitor is looked at so often. */
#define LOOK_EVERY apr_time_from_msec(500)

int mod_relay_turn_begin(mod_relay_turn *turn, request_rec *r, const char *room, unsigned room_max)
{
    const mod_relay_shared *shared = mod_relay_shared_get();

    turn->r = r;
    turn->began = relay_clock();
    if (!shared || mod_relay_shared_take(room, room_max, &turn->cell) != MOD_RELAY_TAKEN)
        return 0;
    apr_atomic_inc32(&shared->tally->waited);
    return 1;
}

int mod_relay_turn_wait(mod_relay_turn *turn, apr_time_t quiet_until)
{
    apr_time_t now = relay_clock(), before = now;

    if (now - turn->began >= ALL_MAX || now >= quiet_until)
        return 0;
    apr_sleep(MOMENT);
    now = relay_clock();
    return (now - turn->began) / LOOK_EVERY == (before - turn->began) / LOOK_EVERY ||
           !mod_relay_visitor_has_left(turn->r);
}

void mod_relay_turn_end(mod_relay_turn *turn)
{
    mod_relay_shared_give(turn->cell);
}

unsigned mod_relay_turn_waiting(const char *room)
{
    const mod_relay_shared *shared = mod_relay_shared_get();

    return shared ? mod_relay_counts_of(shared->counts, room) : 0;
}
