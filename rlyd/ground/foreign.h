/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Descriptors that somebody else made: they come with a hand-off, and are looked at before anything
 * is done with them. Any call on one may wait for as long as its maker likes. close() waits for
 * SO_LINGER, or for a FUSE file's server; getpeername() waits for a lock, whose holder may wait for
 * a page of such a file. So nothing here runs in rlyd itself, but in a process of its own
 * (usher.h), which may hang.
 */
#ifndef RLYD_GROUND_FOREIGN_H
#define RLYD_GROUND_FOREIGN_H

#include "relay_rlyd.h"

#include <sys/socket.h>

typedef struct foreign {
    int fd;                       /* what sshd is to speak on */
    struct sockaddr_storage peer; /* where the device is, by the kernel's word */
    int gone;                     /* it was a connection, and has ended: that is no fault */
} foreign;

/**
 * Takes the message at the head of sock with its descriptors, closes sock, and checks them: for
 * RELAY_RLYD_DIRECT one TCP connection, for RELAY_RLYD_TLS one end of a socketpair() and the TCP
 * connection that TLS comes by, which is closed.
 * @return NULL, or what is wrong: a constant sentence
 */
const char *foreign_take(int sock, relay_rlyd_way way, foreign *out);

#endif
