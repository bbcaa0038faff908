/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Asks the kernel for listening TCP sockets (sock_diag(7)). The kernel filters and answers at once: a dump of
 * thousands is a matter of milliseconds.
 */
#ifndef RLYD_SOCKDIAG_H
#define RLYD_SOCKDIAG_H

#include "relay_listen.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct sockdiag_socket {
    int wildcard; /* bound to every address: addr.ip is 0 */
    relay_listen_addr addr;
    uid_t uid;
    uint32_t inode;
} sockdiag_socket;

typedef void sockdiag_fn(void *baton, const sockdiag_socket *s);

/** Opens the netlink socket. @return it, or -1 */
int sockdiag_open(void);

/**
 * Calls fn for each listener on an address of the space, ports included.
 * @return 0; or -1 with errno when the dump is not complete
 */
int sockdiag_dump(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton);

/** Calls fn for each socket of the space that is connected to itself (see parking.h). @return as sockdiag_dump() */
int sockdiag_dump_parked(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton);

/**
 * Calls fn for each listener that is bound to all addresses (IPv4, or IPv6 which takes IPv4, too) and a port of the
 * space: it would answer in the place of every tunnel of that port that is not connected.
 */
int sockdiag_dump_wildcards(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton);

/**
 * Looks one listen address up.
 * @return 1 with *s; 0 when nobody listens just there; -1 with errno
 */
int sockdiag_find(int nl, relay_listen_addr addr, sockdiag_socket *s);

#endif
