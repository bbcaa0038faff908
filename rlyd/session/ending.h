/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Signals to a session's processes: SIGTERM, and SIGKILL soon. A signal goes to a process only
 * through a pidfd, and only after everything that makes it the session's was read while that pidfd
 * was open: its start time, its parent, its uids, its program. A pid that has been used again fails
 * this.
 */
#ifndef RLYD_SESSION_ENDING_H
#define RLYD_SESSION_ENDING_H

#include "session.h"

/** Hooks: it is ENDING, and gets SIGTERM now; it is gone. */
void ending_begin(session *s);
void ending_over(session *s);

/** @return a pidfd of its child, once that has proved to be its own; -1 when it is gone */
int ending_open_child(const session *s);

/** Sends the signal to each process of the session that proves to be its own; 0 only looks.
 * @return how many there were */
int ending_signal(session *s, int sig);

#endif
