/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Moves a session from one state to the next (session.c has the table), and tells the parts that
 * live by that. They hear of it through hooks, which wiring.c lists; session.c itself calls none of
 * them.
 */
#ifndef RLYD_SESSION_SESSION_H
#define RLYD_SESSION_SESSION_H

#include "sessions.h"

/** Hears of a session. It may end this session or another one (session_end()), and frees none. */
typedef void session_hook(session *s);
typedef void session_offer_hook(session *s, pid_t asker, const message *login);
typedef void session_listener_hook(session *s, relay_listen_addr addr);

/** Who hears what. Each list is called in its order. */
typedef struct session_hooks {
    /** Before a session counts as gone: logins that succeeded until now are taken in. Any session
     * may be gone after these. */
    rlyd_hook *before_exit[RLYD_HOOKS_MAX];
    /** Before it is said which key made a login: reports that wait are taken in. Any session may be
     * gone after these, too. */
    rlyd_hook *before_proof[RLYD_HOOKS_MAX];

    /** relay-authkeys, with the pid asker, has reported a key of its tunnel. */
    session_offer_hook *offered[RLYD_HOOKS_MAX];
    /** It is PROVED, by a login or because it was found; its tunnel may not be known. */
    session_hook *entered[RLYD_HOOKS_MAX];
    /** It is PROVED by a login that was reported: it is its tunnel's. */
    session_hook *proved[RLYD_HOOKS_MAX];
    /** It was found, and is PROVED; its tunnel is not known yet. */
    session_hook *found[RLYD_HOOKS_MAX];
    /** The tunnel of a session that was found has become known. */
    session_hook *identified[RLYD_HOOKS_MAX];

    /** It holds a listener there; it holds it no longer. */
    session_listener_hook *up[RLYD_HOOKS_MAX];
    session_listener_hook *down[RLYD_HOOKS_MAX];

    /** It is ENDING from now on. */
    session_hook *ending[RLYD_HOOKS_MAX];
    /** Its processes are gone; it is freed after this. It keeps the state that it had: a session
     * that is not ENDING has ended by itself. */
    session_hook *gone[RLYD_HOOKS_MAX];
} session_hooks;

void session_init(rlyd *d, const session_hooks *hooks);

/* ---- how a session begins */

/** sshd was started on a connection that was handed over. */
session *session_started(rlyd *d, pid_t pid, session_way way, const char *peer);

/** The session of that monitor, whose identity has been checked; makes it. */
session *session_of_monitor(rlyd *d, const proc_info *monitor);

/** relay-authkeys, with the pid asker, asked on behalf of that monitor, whose identity has been
 * checked. */
void session_offered(rlyd *d, const proc_info *monitor, pid_t asker, const message *login);

/** Takes in the reports that wait at the door: one may be about a login that is just being judged.
 * Any session may be gone after that. */
void session_hear_reports(rlyd *d);

/**
 * The monitor has an authenticated child, or had one: its start is 0 then.
 * @param reported whether it is known which key did it: that of the last report
 */
void session_proved(session *s, const proc_info *child, int reported);

/** Makes a session of processes that nobody reported; their identity has been checked. The child
 * may be its own monitor. */
session *session_adopted(rlyd *d, const proc_info *monitor, const proc_info *child,
                         session_way way);

/** Says whose a found session is. */
void session_identify(session *s, const char *tunnel, const char *fingerprint, int naddrs,
                      const relay_listen_addr *addrs);

/** The way that it came in by, as it was known before our start. */
void session_set_way(session *s, session_way way);

/* ---- while it lasts */

/** listeners.c: it holds a listener there; or not any more. */
void session_up(session *s, relay_listen_addr addr);
void session_down(session *s, relay_listen_addr addr);

/** It is the one to be expected on its addresses, once more. */
void session_expects(session *s);

/** Looks after sessions without a pidfd, whose exit the kernel does not tell. */
void session_poll(rlyd *d);

/* ---- how it ends */

/** Begins to end a session that is PROVED; others are sshd's to end. @param why a constant: closed,
 * expired, …; NULL: its client has disconnected */
void session_end(session *s, const char *why);

/** Its monitor is gone. Forgets the session, or ends what is left of it. */
void session_gone(session *s);

#endif
