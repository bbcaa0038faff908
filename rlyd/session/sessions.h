/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The sessions of this relay: what is known of each SSH login, from its first sign until its
 * processes are gone, and how a session is looked up.
 *
 * session.c writes a session's own members, and sessions.c those by which it is looked up. What
 * another part knows of it is a struct named like that part's file. Only that file writes the
 * struct, and everybody may read it (t/layers.t).
 */
#ifndef RLYD_SESSION_SESSIONS_H
#define RLYD_SESSION_SESSIONS_H

#include "ground/message.h"
#include "ground/proc.h"
#include "ground/rlyd.h"

#include <sys/queue.h>

typedef struct session session;

/** How far a session has come; session.c has the table of what may follow what. */
typedef enum {
    /** There is a login, and nobody has said for which tunnel: sshd was started on a connection, or
     * a key was refused. */
    SESSION_STARTED,
    /** relay-authkeys reported: somebody offers the key of that tunnel, and may not have it. */
    SESSION_OFFERED,
    /** The monitor has a child with the tunnel user's uid: the login succeeded, and the last key
     * that was reported is the one that did it. Only now the session counts as the tunnel's. A
     * session that is found begins here, without a tunnel: Redis is asked whose its address is. */
    SESSION_PROVED,
    /** Its processes are being ended. */
    SESSION_ENDING
} session_state;

typedef enum { WAY_DIRECT, WAY_TLS, WAY_LISTENING } session_way;

/** ending.c: its processes are being ended. */
typedef struct session_ending {
    struct event *timer;
    int64_t since_ms;
    int killed; /* SIGKILL was needed */
} session_ending;

/** admission.c: it counts as one that logs in. */
typedef struct session_admission {
    struct source *source; /* NULL: it does not, or no longer */
} session_admission;

/** proof.c: its login, while a key has been offered and not proved. */
typedef struct session_proof {
    struct login *login;
} session_proof;

/** outcome.c: what relay-authkeys said of the last key that it did not grant. */
typedef struct session_outcome {
    relay_rlyd_refusal refusal; /* 0: nothing, or that the key is granted */
    char key[RLYD_FINGERPRINT_MAX], tunnel[RLYD_TUNNEL_MAX];
} session_outcome;

/** lifetime.c: when it has to end. */
typedef struct session_lifetime {
    struct event *timer;
    int64_t deadline_ms; /* 0: not known yet */
    int missing;         /* how often its record was not there, in a row */
} session_lifetime;

/** listeners.c: where it listens. */
typedef struct session_listeners {
    int count;              /* of the listeners that it holds now */
    relay_listen_addr last; /* the one of them that came up last */
} session_listeners;

/** live.c: what others have been told of it. */
typedef struct session_live {
    int64_t since_redis_ms; /* when it began, for `live:`; 0: not worked out yet */
    int unread;             /* what `live:` said of it before our start is not known yet */
    int announced;          /* an `up` event was written */
} session_live;

/* So many changes of hands within a minute are no accident. */
#define TAKEOVERS_MAX 3

/** takeover.c: its part in the succession of its tunnel's sessions. */
typedef struct session_takeover {
    int parked;           /* its listeners are, see parking.h */
    int idle;             /* it was let in beside one that serves, and did not listen in time */
    int fruitless;        /* how often its listeners were parked for nothing lately */
    int64_t fruitless_ms; /* when that was last */
    /* Until then the next login that is reported has its listeners parked; 0: none has. */
    int64_t reserved_ms;
    int64_t won_ms[TAKEOVERS_MAX]; /* when its tunnel changed hands, last first; 0: not as often as
                                      that */
    int64_t contested_ms;          /* when that was last said; 0: never */
} session_takeover;

struct session {
    rlyd *d;
    uint64_t id; /* never used again: what callbacks hold instead of a pointer */
    session_state state;
    session_way way;
    pid_t monitor, child; /* child 0: not authenticated. Both the same: the monitor has died, the
                             child lives */
    uint64_t monitor_start, child_start; /* child_start 0: it was gone before we could look */
    uid_t uid;                           /* of the child */
    int pidfd;            /* of the monitor; -1: the kernel had none left, see session_poll() */
    struct event *exited; /* pidfd became readable */
    int our_child;        /* we are its parent, and reap it */
    int status;           /* what waitpid() said of it; -1: nothing */
    char tunnel[RLYD_TUNNEL_MAX]; /* "" while unknown */
    char fingerprint[RLYD_FINGERPRINT_MAX];
    char peer[RLYD_PEER_MAX];
    int64_t began_ms;
    const char *why; /* it ends; a constant. NULL: its client has disconnected */
    int naddrs;
    relay_listen_addr *addrs; /* its tunnel's listen addresses */
    session *next_of_tunnel;
    TAILQ_ENTRY(session) in_turn;

    session_ending ending;
    session_admission admission;
    session_proof proof;
    session_outcome outcome;
    session_lifetime lifetime;
    session_listeners listeners;
    session_live live;
    session_takeover takeover;
};

void sessions_init(rlyd *d);

session *session_by_id(rlyd *d, uint64_t id);
session *session_by_monitor(rlyd *d, pid_t monitor);
/** The first of a tunnel's sessions; next_of_tunnel has the others. */
session *session_of_tunnel(rlyd *d, const char *tunnel);
/** The newest authenticated session whose tunnel has that address, or NULL. */
session *session_expecting(rlyd *d, relay_listen_addr addr);
/** Whether a tunnel with a listen address on that port has been seen since the start. */
int session_uses_port(const rlyd *d, uint16_t n);
unsigned session_count(const rlyd *d);
/** Calls fn for each session that there is now and that is still there when its turn comes. */
void session_each(rlyd *d, void (*fn)(session *s, void *baton), void *baton);
/** Calls fn for so many sessions, each time for those whose turn was longest ago; fn may end the
 * one it is given, but not free it. */
void session_turn(rlyd *d, unsigned count, void (*fn)(session *s, void *baton), void *baton);

const char *session_way_name(session_way way);

/** These are its tunnel's listen addresses, as the tunnel's record has them. */
void session_set_addrs(session *s, int naddrs, const relay_listen_addr *addrs);

/* ---- for session.c, which keeps it right */

/** Gives it its id, and makes it known by that and by its monitor. */
void sessions_add(session *s);
/** It is known by another monitor from now on. */
void sessions_set_monitor(session *s, pid_t monitor);
/** Forgets it, its tunnel included. */
void sessions_remove(session *s);

/** It is a session of that tunnel, and of no other; or of none. */
void sessions_join(session *s, const char *tunnel, const char *fingerprint);
void sessions_leave(session *s);

/** It is the newest session that may listen on its addresses; or it is no longer. */
void sessions_expect(session *s);
void sessions_forget(session *s);

#endif
