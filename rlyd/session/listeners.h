/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The kernel's listen table is the truth about which tunnels are up: this mirrors the part of it
 * that lies in our listen space. A whole dump twice a second; the addresses of logins that have
 * just succeeded are looked up singly and much more often.
 */
#ifndef RLYD_LISTENERS_H
#define RLYD_LISTENERS_H

#include "session.h"

typedef enum {
    PORT_UNKNOWN, /* to be found: `find` looks for the process */
    PORT_OWNED,   /* a session of ours holds it */
    PORT_FOREIGN  /* somebody else: reported, never touched */
} port_kind;

/** A listener in our space. */
typedef struct port {
    uint64_t key;
    relay_listen_addr addr;
    uint32_t inode;
    uid_t uid;
    port_kind kind;
    session *owner;
    unsigned seen;  /* in which dump, last */
    unsigned scans; /* how many whole searches did not find its process */
} port;

void listeners_init(rlyd *d);

/** After a reload. */
void listeners_reload(rlyd *d);

/** A session has authenticated: watch its addresses closely for a while. */
void listeners_await(session *s);

/** Its processes are gone, and so are its listeners. */
void listeners_session_gone(session *s);

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

/** Looks at the whole table soon, and not only when it is time. */
void listeners_look(rlyd *d);

/** How many there are, whether there ever were any, and whether all of them have been accounted for
 * once since the start. */
unsigned listeners_owned(const rlyd *d);
int listeners_were_owned(const rlyd *d);
int listeners_are_settled(const rlyd *d);

/* for find.c */

/** The unknown listener with that inode, or NULL. */
port *listeners_unknown(rlyd *d, uint32_t inode);
/** How many are unknown. */
unsigned listeners_unknowns(const rlyd *d);
void listeners_claim(rlyd *d, port *p, session *s);
/** It is another relay's session. */
void listeners_disown(rlyd *d, port *p);
/** A search of all processes is over; what it did not find and was there before it began is
 * foreign. */
void listeners_searched(rlyd *d);

#endif
