/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The TCP connection that a session's SSH runs over: its options, its peer, and whether the peer is
 * still there.
 */
#ifndef RLYD_GROUND_TRANSPORT_H
#define RLYD_GROUND_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/**
 * Sets what a connection needs: TCP_NODELAY, which sshd does not set for a session without a
 * channel, and an end for a peer that is gone. A listener passes both on to what it accepts.
 * Harmless on other sockets.
 */
void transport_tune(int fd);

/** Whether TCP_NODELAY is set. */
int transport_is_tuned(int fd);

/**
 * Copies the connection's socket out of a monitor process, which has only that one.
 * @return the copy, to be closed by the caller; -1 when there is none
 */
int transport_open(int monitor, int pidfd);

/** Prints `ADDR:PORT` of the other end; an IPv4-mapped IPv6 address as plain IPv4. @return 0, or -1
 */
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
