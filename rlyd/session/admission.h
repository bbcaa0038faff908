/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Who may start to log in: sshd's MaxStartups (start:rate:full, random early drop) and a limit for
 * each source, as `sshd -i` knows neither. A connection counts from the hand-off until it has
 * authenticated or is gone.
 */
#ifndef RLYD_ADMISSION_H
#define RLYD_ADMISSION_H

#include "ground/rlyd.h"

#include <sys/socket.h>

/** One source: an IPv4 address or an IPv6 /64. */
struct source;

void admission_init(rlyd *d);

/**
 * Asks for one more from that address.
 * @param why out: set to a constant when the answer is no
 * @return what to give to admission_leave() in the end; NULL when it is refused
 */
struct source *admission_enter(rlyd *d, const struct sockaddr *peer, const char **why);

void admission_leave(rlyd *d, struct source *source);

/** How many count now. */
unsigned admission_count(const rlyd *d);

#endif
