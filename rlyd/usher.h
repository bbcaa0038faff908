/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * An usher is a process that takes in one hand-off. It is a fork of rlyd. It receives the
 * descriptors, checks them (ground/foreign.h) and tells rlyd where the device is. When rlyd admits
 * the device the usher becomes its sshd. A descriptor that hangs hangs the usher, which is killed
 * after a while. rlyd itself never has one, not even for a moment in a queue that it closes.
 */
#ifndef RLYD_USHER_H
#define RLYD_USHER_H

#include "ground/message.h"
#include "ground/rlyd.h"

#include <sys/socket.h>

/** @param room is called when usher_receive(), which had no place for a hand-off, may be tried
 * again */
void usher_init(rlyd *d, rlyd_hook *room);

/**
 * Starts an usher for the message at the head of a peer's socket.
 * @param sock the peer's, which no event waits for; closed here on success
 * @return 0; -1 when there are too many ushers already, or no process is to be had: see
 * usher_init()
 */
int usher_receive(rlyd *d, int sock, const struct ucred *who, const message *m);

/** What waits at the head of a peer's socket. */
typedef enum { HEAD_NONE, HEAD_CLOSED, HEAD_PLAIN, HEAD_CARRIES, HEAD_UNKNOWN } head_kind;

/**
 * Looks at the head of a peer's socket, and leaves it there.
 * @param len out: how much of it is in buf
 * @return HEAD_CARRIES where descriptors come with it: then only an usher may receive it or close
 * the socket
 */
head_kind usher_look(int sock, char *buf, size_t size, size_t *len);

/** Prepares a socket for usher_look() and usher_close(); call it first. */
void usher_prepare(int sock);

/** Closes a peer's socket. Descriptors that may still be in its queue cannot hold rlyd up. */
void usher_close(rlyd *d, int sock);

/** The same for a socket whose queue rlyd knows nothing of. */
void usher_dispose(rlyd *d, int sock);

#endif
