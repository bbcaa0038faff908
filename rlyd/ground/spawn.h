/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Starts sshd: `sshd -i` on a connection, in a session and process group of its own, with that
 * connection and nothing else open. So it outlives rlyd.
 */
#ifndef RLYD_GROUND_SPAWN_H
#define RLYD_GROUND_SPAWN_H

#include "rlyd.h"

/**
 * Makes the calling process that sshd. All its descriptors are closed but 0, 1, 2 and keep. keep
 * has to be close-on-exec and above 2.
 * @return only when that fails: an errno
 */
int spawn_become_sshd(const relay_config *cfg, int fd, int keep);

/** Starts `sshd -t`. @return 0 with *pid and *said, a non-blocking pipe with what it writes to
 * standard error; or an errno */
int spawn_sshd_test(const relay_config *cfg, int *said, pid_t *pid);

/** Makes the directory in which every sshd of this host confines its unauthenticated part, where it
 * is missing. Debian's ssh.service removes it when it is stopped. */
void spawn_make_directory(void);

/** Learns from sshd's complaint, if there is one in `said`, which directory that is. @return 1 when
 * it has been made now */
int spawn_learn_directory(const char *said);

/** Lets the kernel merge equal pages of this process and all that it starts (KSM). @return 0, or -1
 * with errno */
int spawn_merge_pages(void);

#endif
