/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Asks the kernel for TCP sockets (sock_diag(7)): who listens, and who holds the other end of a
 * connection. The kernel filters and answers at once: a look-up is a matter of microseconds, a dump
 * of thousands of milliseconds. No privilege is needed. Everything is that of the caller's network
 * namespace.
 *
 * A netlink socket belongs to one thread at a time. Nothing here waits.
 */
#ifndef RELAY_SOCKDIAG_H
#define RELAY_SOCKDIAG_H

#include "relay_listen.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct relay_socket {
    int listens;  /* in state LISTEN */
    int wildcard; /* bound to every address: addr.ip is 0 */
    int parked;   /* connected to itself (rlyd/session/parking.h) */
    relay_listen_addr addr;
    /* The user whose process made the listener or accepted the connection. Before a connection is
     * accepted, Linux up to 6.16 says 0; later versions name the listener's user. */
    uid_t uid;
    uint32_t inode; /* 0: a connection that is not accepted yet */
} relay_socket;

typedef void relay_sockdiag_fn(void *baton, const relay_socket *s);

/** Opens the netlink socket. @return it, or -1 */
int relay_sockdiag_open(void);

/**
 * Calls fn for each listener on an address of the space, ports included, and for each that is bound
 * to all addresses (IPv4, or IPv6 which takes IPv4, too) and a port of the space: such a listener
 * answers in the place of every tunnel of that port that is not connected.
 * @return 0; or -1 with errno when the dump is not complete
 */
int relay_sockdiag_dump(int nl, const relay_listen_space *space, relay_sockdiag_fn *fn,
                        void *baton);

/** Calls fn for each socket of the space that is connected to itself. @return as
 * relay_sockdiag_dump() */
int relay_sockdiag_dump_parked(int nl, const relay_listen_space *space, relay_sockdiag_fn *fn,
                               void *baton);

/**
 * The listener that a connection from this host to addr would meet; it may be one on all addresses.
 * @return 1 with *s; 0 when nobody listens, or the kernel lacks its module tcp_diag; -1 with errno
 */
int relay_sockdiag_listener(int nl, relay_listen_addr addr, relay_socket *s);

/** The same for a listener on that very address. One on all addresses does not count. */
int relay_sockdiag_find(int nl, relay_listen_addr addr, relay_socket *s);

/**
 * The end at addr of a connection with peer.
 * @return 1 with *s; 0 when there is none; -1 with errno
 */
int relay_sockdiag_end(int nl, relay_listen_addr addr, relay_listen_addr peer, relay_socket *s);

#endif
