/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Mirrors the part of the kernel's listen table that lies in our listen space. It does not know
 * whose a listener is: session/listeners.h keeps that, in members of its own.
 */
#ifndef RLYD_GROUND_PORTS_H
#define RLYD_GROUND_PORTS_H

#include "rlyd.h"

#include "relay_sockdiag.h"

/** A listener. */
typedef struct port {
    uint64_t key;
    relay_listen_addr addr;
    uint32_t inode;
    uid_t uid;
    unsigned seen; /* in which dump, last */
    /* Written by session/listeners.c alone; 0 at first. */
    unsigned kind;
    void *owner;
    unsigned searches; /* so many whole searches did not find its process */
} port;

/** Who hears of the table. They may drop ports. */
typedef struct ports_hooks {
    /** A listener is there that was not there before. */
    void (*appeared)(rlyd *d, port *p);
    /** This listener is forgotten now. */
    void (*gone)(rlyd *d, port *p);
    /** A dump has met a listener on all addresses, which takes its port at each. */
    void (*wildcard)(rlyd *d, const relay_socket *found);
} ports_hooks;

void ports_init(rlyd *d, const ports_hooks *hooks);

/** Reads the whole table. What it no longer has stays until ports_drop() is called; see
 * ports_is_seen(). @return 0, or -1 when it cannot be read (with a log line) */
int ports_dump(rlyd *d);

/** Whether the last dump, or a look-up since, has seen it. */
int ports_is_seen(const rlyd *d, const port *p);

/** Looks one address up. */
void ports_look_up(rlyd *d, relay_listen_addr addr);

/** Whether the kernel says that this very listener has gone; 0 when the kernel cannot be asked. */
int ports_has_gone(rlyd *d, const port *p);

void ports_drop(rlyd *d, port *p);

/** The listener at that address, or NULL. */
port *ports_at(const rlyd *d, relay_listen_addr addr);

/** Calls fn for each; fn may drop the one it is given. */
void ports_each(rlyd *d, void (*fn)(rlyd *d, port *p, void *baton), void *baton);

/** A listen address as the key of a hash. */
static inline uint64_t ports_key(relay_listen_addr addr)
{
    return (uint64_t)addr.ip << 16 | addr.port;
}

#endif
