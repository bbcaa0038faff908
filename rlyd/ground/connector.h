/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The kernel's proc connector: it tells of forks and of changes of uid at once, in the order in
 * which they happened. Not every host has it: a container has none.
 */
#ifndef RLYD_GROUND_CONNECTOR_H
#define RLYD_GROUND_CONNECTOR_H

#include "rlyd.h"

typedef struct connector_hooks {
    /** A process that is watched for forks has made one. */
    void (*forked)(rlyd *d, pid_t parent, pid_t child);
    /** A process has taken on another uid. */
    void (*uid)(rlyd *d, pid_t pid, uid_t ruid, uid_t euid);
    /** The kernel had more to tell than the socket holds: something was missed. */
    void (*lost)(rlyd *d);
} connector_hooks;

/** @return 0, or -1 with errno when there is no connector; then nobody is ever told anything */
int connector_init(rlyd *d, const connector_hooks *hooks);

int connector_is_there(const rlyd *d);

/** So many parents can be watched one by one: two filters of that size, the old one and the new,
 * fit into the 20 kB of net.core.optmem_max of older kernels. */
#define CONNECTOR_PARENTS_MAX 100

/** Watches these processes for forks, and no others; the forks of a busy host are many. With more
 * than CONNECTOR_PARENTS_MAX of them the forks of all processes are told. */
void connector_watch(rlyd *d, const pid_t *parents, unsigned n);

/** Takes in all that the kernel has told by now. Does nothing when called from a hook. */
void connector_drain(rlyd *d);

#endif
