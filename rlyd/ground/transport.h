/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The TCP connection that a session's SSH runs over: its options, its peer, whether anybody is
 * still there.
 */
#ifndef RLYD_TRANSPORT_H
#define RLYD_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/**
 * What a connection, or a listener for the connections it will accept, needs: TCP_NODELAY, which
 * sshd does not set for sessions without a channel of their own, and an end for a peer that is
 * gone. Harmless on other sockets.
 */
void transport_tune(int fd);

/** Whether TCP_NODELAY is set. */
int transport_is_tuned(int fd);

/**
 * A copy of the connection's socket out of a monitor process, which has just the one.
 * @return it, to be closed; -1 when there is none
 */
int transport_open(int monitor, int pidfd);

/** `ADDR:PORT` of the other end; an IPv4 address in IPv6 clothes as plain IPv4. @return 0, or -1 */
int transport_peer(int fd, char *out, size_t size);
void transport_print(const struct sockaddr *addr, char *out, size_t size);

/** The connection's round trip time as TCP has measured it, in ms, rounded up; -1 when it is not
 * known. */
int transport_rtt_ms(int fd);

/** A peer that is alive lets the kernel hear from it more often
 * than this (see transport_tune()). */
#define TRANSPORT_SILENCE_MS 28000

/** Whether the peer has given no sign of life, neither data nor acknowledgement, for that long, or
 * the connection is over already. */
int transport_is_silent(int fd);

#endif
