/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Starts `sshd -i` on a connection: in a session and process group of its own, with that connection and nothing else
 * open, so that it outlives rlyd.
 */
#ifndef RLYD_SPAWN_H
#define RLYD_SPAWN_H

#include "rlyd.h"

/** @param fd the connection; stays the caller's
 *  @return 0 with *pid, or an errno */
int spawn_sshd(const rlyd *d, int fd, pid_t *pid);

/** Starts `sshd -t`. @return 0 with *pid and *said, a non-blocking pipe with what it writes to standard error; or an errno */
int spawn_sshd_test(const relay_config *cfg, int *said, pid_t *pid);

/** Lets the kernel merge equal pages of this process and all that it starts (KSM). @return 0, or -1 with errno */
int spawn_merge_pages(void);

#endif
