/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Sessions: what is known of each SSH login on this relay, from the first sign of it until its
 * processes are gone.
 *
 *   STARTED   we started sshd on a connection that was handed over; nobody has said for which
 *             tunnel
 *   OFFERED   relay-authkeys reported: somebody offers the key of that tunnel, and may not have it
 *   PROVED    the monitor has a child with the tunnel user's uid: the login succeeded, and the last
 *             key that was reported is the one that did it. Only now does the session count as the
 *             tunnel's
 *   ENDING    its processes are being ended
 *
 * A session that was found (after a restart of ours) enters as PROVED without a tunnel; lifetime
 * asks Redis whose the address is where it listens.
 */
#ifndef RLYD_SESSION_H
#define RLYD_SESSION_H

#include "ground/message.h"
#include "ground/proc.h"
#include "ground/rlyd.h"

#include <sys/queue.h>

typedef enum { SESSION_STARTED, SESSION_OFFERED, SESSION_PROVED, SESSION_ENDING } session_state;
typedef enum { WAY_DIRECT, WAY_TLS, WAY_LISTENING } session_way;

/* So many changes of hands within a minute are no accident. */
#define TAKEOVERS_MAX 3

typedef struct session session;
struct session {
    rlyd *d;
    uint64_t id; /* never used again: what callbacks hold instead of a pointer */
    session_state state;
    session_way way;
    pid_t monitor,
        child; /* child 0: not authenticated. Equal: the monitor has died, the child lives */
    uint64_t monitor_start,
        child_start; /* child_start 0: the child was gone before we could look */
    uid_t uid;       /* of the child */
    int pidfd; /* of the monitor; -1: the kernel had none left, then `listeners` looks after it */
    int our_child;                /* we are its parent: reap it */
    struct event *exited;         /* pidfd became readable */
    struct event *timer;          /* deadline; while ENDING the next look */
    char tunnel[RLYD_TUNNEL_MAX]; /* "" while unknown */
    char fingerprint[RLYD_FINGERPRINT_MAX];
    char peer[RLYD_PEER_MAX];
    /* What relay-authkeys said of the last key; 0: nothing, or that it is granted. */
    relay_rlyd_refusal refusal;
    char refused_key[RLYD_FINGERPRINT_MAX], refused_tunnel[RLYD_TUNNEL_MAX];
    struct source *source; /* counted in admission while set */
    struct login *login;   /* what `proof` knows of it while it has been offered, and not proved */
    int64_t began_ms;
    int64_t since_redis_ms; /* when it began, for `live:`; 0: not worked out yet */
    int64_t deadline_ms;    /* 0: not known yet */
    int64_t ending_ms;
    int killed;      /* SIGKILL was needed */
    int missing;     /* how often its record was not there, in a row */
    int described;   /* all that `live:` says of it is known */
    int announced;   /* an `up` event was written */
    const char *why; /* it ends; constant */
    int naddrs;
    relay_listen_addr *addrs; /* its tunnel's listen addresses */
    int nports;               /* listeners it holds now: `listeners` counts */
    relay_listen_addr port;   /* the last one of them that came up */
    int parked;               /* its listeners are, see takeover.h */
    int idle;                 /* it was let in beside one that serves, and did not listen in time */
    int fruitless;            /* how often its listeners were parked for nothing lately */
    int64_t fruitless_ms;     /* when that was last */
    int64_t reserved_ms; /* until then the next login that is reported has its listeners parked; 0:
                            none has */
    int64_t won_ms[TAKEOVERS_MAX]; /* when its tunnel changed hands, last first; 0: not as often as
                                      that */
    int64_t contested_ms;          /* when that was last said; 0: never */
    session *next_of_tunnel;
    TAILQ_ENTRY(session) in_turn;
};

void sessions_init(rlyd *d);

/** sshd was started on a handed-over connection. */
session *session_started(rlyd *d, pid_t pid, session_way way, const char *peer,
                         struct source *source);

/** The session of that monitor, whose identity has been checked; makes it. */
session *session_of_monitor(rlyd *d, const proc_info *monitor);

/**
 * relay-authkeys, with the pid asker, asked on behalf of that monitor, whose identity has been
 * checked. Ends a session of the same tunnel whose peer has been silent for too long to be alive.
 */
void session_offered(rlyd *d, const proc_info *monitor, pid_t asker, const message *login);

/** The monitor has an authenticated child, or had one: its start is 0 then. Makes room for it, see
 * takeover.h. */
void session_proved(session *s, const proc_info *child);

/**
 * A process of the tunnel user's that nobody reported, see find.h; finds or makes its session.
 * @param others out: set to 1 when it is a session, but one of another sshd's or rlyd's
 * @return NULL if it is none of ours
 */
session *session_found(rlyd *d, const proc_info *child, int *others);

/** Says whose a found session is. Of two sessions of a tunnel the newer one stays. */
void session_identify(session *s, const char *tunnel, const char *fingerprint, int naddrs,
                      const relay_listen_addr *addrs);

/** The tunnel's listen addresses as its record has them. */
void session_set_addrs(session *s, int naddrs, const relay_listen_addr *addrs);

/** (Re)sets the end of the session; ends it when that has passed. */
void session_set_deadline(session *s, int64_t deadline_ms);

/** Begins to end it: its processes get SIGTERM now, SIGKILL soon. @param why a constant: closed,
 * expired, …; NULL: its client has disconnected */
void session_end(session *s, const char *why);

/** Its processes are gone: forgets it, with a log line. */
void session_gone(session *s);

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
 * one it is given. */
void session_turn(rlyd *d, unsigned count, void (*fn)(session *s, void *baton), void *baton);

const char *session_way_name(session_way way);

/* ending.c */

/** Takes its listeners away at once, before its processes come round to ending: a newer session can
 * bind the addresses there and then, and no visitor is let in any more. */
void ending_release(session *s);
/** @return a pidfd of its child, once that has proved to be its own; -1 when it is gone */
int ending_open_child(const session *s);
/** Sends the signal to each process of the session that proves to be its own. @return how many
 * there were */
int ending_signal(session *s, int sig);
/** Whether one of its processes is still there. */
int ending_is_alive(const session *s);
/** The timer's turn while a session is ENDING. */
void ending_step(session *s);

#endif
