/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Processes that take in what is handed over, one for each hand-off: a fork of rlyd that receives
 * the descriptors, checks them (foreign.h), tells rlyd where the visitor is, and, when rlyd admits
 * it, becomes its sshd. A descriptor that hangs hangs that process, which is killed after a while;
 * rlyd itself never has one, not even for a moment in a queue that it closes.
 */
#ifndef RLYD_USHER_H
#define RLYD_USHER_H

#include "ground/message.h"
#include "ground/rlyd.h"

#include <sys/socket.h>

void usher_init(rlyd *d);

/**
 * Has the message taken that is at the head of a peer's socket.
 * @param sock the peer's, which no event waits for; closed here on success
 * @return 0; -1 when there are too many already, or no process is to be had: door_resume() is
 * called when it may be tried again
 */
int usher_receive(rlyd *d, int sock, const struct ucred *who, const message *m);

/** What waits at the head of a peer's socket. */
typedef enum { HEAD_NONE, HEAD_CLOSED, HEAD_PLAIN, HEAD_CARRIES, HEAD_UNKNOWN } head_kind;

/**
 * Looks, and leaves it there.
 * @param len out: how much of it is in buf
 * @return HEAD_CARRIES where descriptors come with it: then nobody but an usher may receive it, or
 * close the socket
 */
head_kind usher_look(int sock, char *buf, size_t size, size_t *len);

/** Wants to be called for each socket that usher_look() and usher_close() are for, before anything
 * else. */
void usher_prepare(int sock);

/** Closes a peer's socket, without waiting for the descriptors of anybody's that may still be in
 * its queue. */
void usher_close(rlyd *d, int sock);

/** The same for one of which it is not known what waits there. */
void usher_dispose(rlyd *d, int sock);

#endif
