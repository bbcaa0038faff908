/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The socket that mod_relay and relay-authkeys speak to (relay_rlyd.h). The kernel says who a peer
 * is. A peer that breaks a rule is dropped, and no other.
 */
#ifndef RLYD_DOOR_H
#define RLYD_DOOR_H

#include "ground/rlyd.h"

/** Opens the socket, in place of one that a former rlyd left. Call it after the pid file is locked.
 * @return APR_SUCCESS, or an error with *why */
apr_status_t door_open(rlyd *d, apr_pool_t *p, const char **why);

/** After a reload: reads anew who may speak, and moves the socket where its path is another. */
apr_status_t door_reload(rlyd *d, apr_pool_t *p, const char **why);

void door_close(rlyd *d);

/** Hook: takes in all reports that wait now, and begins with all hand-offs. */
void door_drain(rlyd *d);

/** Hook: there is room for hand-offs again (usher.h). */
void door_resume(rlyd *d);

#endif
