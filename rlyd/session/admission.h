/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Decides who may start to log in, by sshd's MaxStartups (start:rate:full, random early drop) and
 * by a limit for each source; `sshd -i` knows neither. A connection counts from the hand-off until
 * it has authenticated or is gone.
 */
#ifndef RLYD_SESSION_ADMISSION_H
#define RLYD_SESSION_ADMISSION_H

#include "session.h"

#include <sys/socket.h>

/** One source: an IPv4 address or an IPv6 /64. */
struct source;

void admission_init(rlyd *d);

/**
 * Asks whether one more from that address may log in.
 * @param why out: set to a constant when the answer is no
 * @return what to give to admission_holds(); NULL when it is refused
 */
struct source *admission_enter(rlyd *d, const struct sockaddr *peer, const char **why);

/** The session that was admitted counts from now on. */
void admission_holds(session *s, struct source *source);

/** Hook: it has authenticated, or is gone. */
void admission_over(session *s);

/** How many are logging in now. */
unsigned admission_count(const rlyd *d);

#endif
