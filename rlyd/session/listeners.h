/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Knows which session holds which listener. The kernel's listen table (ground/ports.h) is the truth
 * about which tunnels are up. It is read whole twice a second; the addresses of logins that have
 * just succeeded are looked up singly and much more often.
 */
#ifndef RLYD_SESSION_LISTENERS_H
#define RLYD_SESSION_LISTENERS_H

#include "ground/ports.h"
#include "session.h"

/** A port's kind. */
typedef enum {
    PORT_FOREIGN, /* somebody else's, or not judged yet: reported, never touched */
    PORT_UNKNOWN, /* to be found: the process is searched for */
    PORT_OWNED    /* a session of ours holds it, the port's owner */
} port_kind;

/** Who hears of the table as a whole; session_up() and session_down() tell of single listeners. */
typedef struct listeners_hooks {
    /** It is going to be read. */
    rlyd_hook *looking[RLYD_HOOKS_MAX];
    /** A listener on all addresses has been met. */
    void (*wildcard)(rlyd *d, const relay_socket *found);
    /** It has been read whole, and what is gone is forgotten. */
    rlyd_hook *looked[RLYD_HOOKS_MAX];
    /** There are listeners of which it is not known whose they are. */
    rlyd_hook *unknown[RLYD_HOOKS_MAX];
    /** For the first time since the start all listeners are accounted for. */
    rlyd_hook *settled[RLYD_HOOKS_MAX];
} listeners_hooks;

void listeners_init(rlyd *d, const listeners_hooks *hooks);

/* Hooks. */

/** It has authenticated: its addresses are watched closely for a while. */
void listeners_await(session *s);
/** Its processes are gone, and so are its listeners. */
void listeners_gone(session *s);

/** The session that holds an address now, or NULL. */
session *listeners_owner(rlyd *d, relay_listen_addr addr);

/** Looks now whether the session listens. */
void listeners_look_at(session *s);

/** Whether that socket is one of the listeners that the session holds. */
int listeners_is_held(const session *s, uint32_t inode);

/** Calls fn for each listener that a session holds. */
void listeners_each_owned(rlyd *d, void (*fn)(const port *p, void *baton), void *baton);

/** The same for each that is known to be somebody else's. */
void listeners_each_foreign(rlyd *d, void (*fn)(const port *p, void *baton), void *baton);

/** Reads the whole table soon, and not only when it is time. */
void listeners_look(rlyd *d);

/** When it was read last. */
int64_t listeners_looked_ms(const rlyd *d);

/** How many a session holds, whether there ever were any, and whether all of them have been
 * accounted for once since the start. */
unsigned listeners_owned(const rlyd *d);
int listeners_were_owned(const rlyd *d);
int listeners_are_settled(const rlyd *d);

/** How many there are of which it is not known whose they are. */
unsigned listeners_unknowns(const rlyd *d);

/* ---- for find.c */

/** The unknown listener with that inode, or NULL. */
port *listeners_unknown(rlyd *d, uint32_t inode);
/** It is that session's. */
void listeners_claim(rlyd *d, port *p, session *s);
/** It is another relay's session. */
void listeners_disown(rlyd *d, port *p);
/** A search of all processes is over; what it did not find and was there before it began is
 * foreign. */
void listeners_searched(rlyd *d);

#endif
