/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "wiring.h"
#include "door.h"
#include "ground/connector.h"
#include "ground/nodelay.h"
#include "ground/sshdtest.h"
#include "ground/store.h"
#include "session/admission.h"
#include "session/ending.h"
#include "session/find.h"
#include "session/heartbeat.h"
#include "session/lifetime.h"
#include "session/listeners.h"
#include "session/live.h"
#include "session/outcome.h"
#include "session/proof.h"
#include "session/release.h"
#include "session/session.h"
#include "session/takeover.h"
#include "session/taken.h"
#include "usher.h"

/* Where a comment says why one stands before another, the order carries weight. Elsewhere it does
 * not. */

/** What becomes of a session. */
static const session_hooks of_sessions = {
    /* A login may have succeeded, if only for a moment, before its processes went: then it counts
     * as one that has ended, and its successor is let in. */
    .before_exit = {connector_drain},
    /* sshd waits for the answer to a report before it goes on, so the report of the key that made a
     * login is at the door by now. */
    .before_proof = {door_drain},

    .offered =
        {
            outcome_offered,
            proof_offered,
            lifetime_offered,
            takeover_offered,
        },
    .entered =
        {
            proof_over,
            admission_over,
            lifetime_entered,
        },
    .proved =
        {
            /* First: the way is free, or becomes so, before anybody looks whether it listens. */
            takeover_proved,
            taken_warn,
            listeners_await,
            lifetime_proved,
        },
    .found =
        {
            /* Before anything can be written of it. */
            live_found,
            lifetime_found,
        },
    .identified =
        {
            /* First: of two sessions of the tunnel one ends, and may be this one. */
            takeover_identified,
            live_identified,
        },

    .up =
        {
            /* `live:` says that somebody listens there before the older session's entry goes. */
            live_up,
            takeover_up,
            /* The `up` of a newcomer follows what is said of the takeover. */
            live_announce,
        },
    .down = {live_down},

    .ending =
        {
            /* SIGTERM comes before the listeners are taken away: a child that has no word of its
             * end yet would log a failed accept() for each turn of its loop. */
            ending_begin,
            release_listeners,
            /* Its addresses are free now: what was parked for it listens again. */
            takeover_over,
            lifetime_ending,
        },
    .gone =
        {
            takeover_over,
            proof_over,
            /* Before its `down`: what it held is off `live:` by then. */
            listeners_gone,
            outcome_gone,
            live_gone,
            admission_over,
            ending_over,
            lifetime_ending,
        },
};

/** What the listen table says as a whole. */
static const listeners_hooks of_listeners = {
    .looking = {taken_looking},
    .wildcard = taken_wildcard,
    /* `rly open` waits for what live_looked() writes, and reads `taken` then. */
    .looked = {taken_looked, live_looked},
    .unknown = {find_start},
    .settled = {live_sync},
};

/** Redis serves (again). */
static rlyd_hook *const when_redis_is_ready[RLYD_HOOKS_MAX] = {
    /* At once: nobody may be given an address that is in use. */
    live_ready,
    heartbeat_ready,
    lifetime_ready,
};

apr_status_t wiring_start(rlyd *d, apr_pool_t *p, const char **why)
{
    sessions_init(d);
    session_init(d, &of_sessions);
    admission_init(d);
    find_init(d);
    store_init(d, when_redis_is_ready);
    lifetime_init(d);
    live_init(d);
    heartbeat_init(d);
    sshdtest_init(d);
    /* Before the first look at the listen table: what an rlyd that was killed left parked listens
     * again. */
    takeover_init(d);
    proof_init(d);
    taken_init(d);
    listeners_init(d, &of_listeners);
    nodelay_init(d);
    usher_init(d, door_resume);
    return door_open(d, p, why);
}

void wiring_reload(rlyd *d, apr_pool_t *p)
{
    const char *why = NULL;

    if (door_reload(d, p, &why) != APR_SUCCESS)
        relay_log(RELAY_LOG_ERR, "RLY452 %s", why);
    store_reload(d);
    lifetime_reload(d);
    listeners_look(d);
    sshdtest_start(d, "reloaded");
}

void wiring_stop(rlyd *d)
{
    takeover_stop(d);
    door_close(d);
}
