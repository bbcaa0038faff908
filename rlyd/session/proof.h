/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Notices that a login has succeeded: the monitor's child takes on the tunnel user's uid. The
 * kernel's proc connector says so at once; where it is not to be had (a container), the monitors
 * that have not got that far are looked at.
 */
#ifndef RLYD_SESSION_PROOF_H
#define RLYD_SESSION_PROOF_H

#include "session.h"

void proof_init(rlyd *d);

/** That process, whose identity has been checked, is the authenticated child of the session's
 * monitor. It is PROVED now, unless it is gone. */
void proof_succeeded(session *s, const proc_info *child);

/** Hook: relay-authkeys, with the pid asker, has reported. From now on no success of that login is
 * missed, however short. */
void proof_offered(session *s, pid_t asker, const message *login);

/** Hook: its login is over, in one way or the other. */
void proof_over(session *s);

#endif
