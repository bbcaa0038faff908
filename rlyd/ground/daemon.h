/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The ways of a daemon: it goes to the background and says when it is ready there; it has a pid
 * file; it raises its limits.
 */
#ifndef RLYD_GROUND_DAEMON_H
#define RLYD_GROUND_DAEMON_H

#include "relay.h"

/**
 * Forks. The child returns; the parent waits until the child calls daemon_is_ready() and exits with
 * status 0, or with 1 when the child ended before that.
 */
apr_status_t daemon_start(apr_pool_t *p, const char **why);
void daemon_is_ready(void);

/** Writes the pid file and keeps it locked as long as this process lives.
 * @return APR_SUCCESS; or an error with *why, above all when another rlyd runs */
apr_status_t daemon_pidfile(const char *path, apr_pool_t *p, const char **why);
void daemon_pidfile_remove(const char *path);

/** Raises the soft limit of open files to the hard one. */
void daemon_raise_limits(void);

/** So many descriptors are kept free. Looking at processes and ending them must work at all times.
 */
#define DAEMON_RESERVE 64

/** Whether this descriptor is one of the last. What can wait must not have it. (The kernel gives
 * the lowest free one.) */
int daemon_is_scarce(int fd);

#endif
