/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `sshd -i` on a connection: in a session and process group of its own, with that connection and
 * nothing else open, so that it outlives rlyd.
 */
#ifndef RLYD_SPAWN_H
#define RLYD_SPAWN_H

#include "rlyd.h"

/**
 * Makes the calling process that sshd. All its descriptors are closed but 0, 1 and 2, and keep,
 * which has to be close-on-exec and above 2.
 * @return only when that fails: an errno
 */
int spawn_become_sshd(const relay_config *cfg, int fd, int keep);

/** Starts `sshd -t`. @return 0 with *pid and *said, a non-blocking pipe with what it writes to
 * standard error; or an errno */
int spawn_sshd_test(const relay_config *cfg, int *said, pid_t *pid);

/** Lets the kernel merge equal pages of this process and all that it starts (KSM). @return 0, or -1
 * with errno */
int spawn_merge_pages(void);

#endif
