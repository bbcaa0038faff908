/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * rlyd, one per relay host: hands SSH connections to sshd, knows every session and ends it when its
 * grant ends. It is one process with one thread and one libevent loop. Nothing in the loop waits.
 *
 * The files lie in three layers. A file uses its own layer and those below, and no two files use
 * each other (t/layers.t).
 *
 *   ground/    the loop, Redis, processes, the listen table, sshd: knows nothing of sessions
 *   session/   what becomes of a session (session.h), and the parts that hear of it
 *   rlyd/      the program, its socket, and who hears what, in which order (wiring.c)
 *
 * This header has what all of them share. Times named *_ms are milliseconds of CLOCK_MONOTONIC,
 * unless the name says redis.
 */
#ifndef RLYD_GROUND_RLYD_H
#define RLYD_GROUND_RLYD_H

#include "relay_config.h"
#include "relay_log.h"

#include <stdint.h>
#include <sys/types.h>

#define RLYD_TUNNEL_MAX 64
#define RLYD_FINGERPRINT_MAX 64
#define RLYD_PEER_MAX 64 /* [IPv6%scope]:port */

typedef struct rlyd {
    struct event_base *base;
    apr_pool_t *pool;     /* as long as the process */
    apr_pool_t *cfg_pool; /* as long as cfg; a reload makes a new one */
    const relay_config *cfg;
    const char *cfg_path;
    uid_t tunnel_uid; /* of cfg->user */
    int stopping;     /* by SIGTERM or SIGINT */

    /* What each file keeps for itself, made by its own init; closed to all others. */
    struct store *store;
    struct connector *connector;
    struct ports *ports;
    struct nodelay *nodelay;
    struct sshdtest *sshdtest;
    struct sessions *sessions;
    struct machine *machine;
    struct admission *admission;
    struct proofs *proofs;
    struct listeners *listeners;
    struct lifetimes *lifetime;
    struct live *live;
    struct heartbeat *heartbeat;
    struct takeovers *takeovers;
    struct taken *taken;
    struct finder *finder;
    struct ushers *ushers;
    struct door *door;
} rlyd;

/** Something that is to be told, or done, at a certain moment. wiring.c has the lists of them. */
typedef void rlyd_hook(rlyd *d);

/* So many have room in a list; NULL ends one that is shorter. */
#define RLYD_HOOKS_MAX 10

/** Calls all of a list, in its order. */
static inline void rlyd_tell(rlyd *d, rlyd_hook *const hooks[RLYD_HOOKS_MAX])
{
    int i;

    for (i = 0; i < RLYD_HOOKS_MAX && hooks[i]; i++)
        hooks[i](d);
}

#endif
