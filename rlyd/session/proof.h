/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Notices that a login has succeeded: the monitor's child takes on the tunnel user's uid. The
 * kernel's proc connector says so at once; where it is not to be had (a container), the monitors
 * that have not got that far are looked at.
 */
#ifndef RLYD_PROOF_H
#define RLYD_PROOF_H

#include "session.h"

void proof_init(rlyd *d);

/** relay-authkeys, with the pid asker, has reported: from now on no success of that login is
 * missed, however short. */
void proof_expect(session *s, pid_t asker);

/** Whether the last look-up of a key for that login is one whose report was heard: only then is it
 * known which key did it. Where nothing is known of it the answer is no. */
int proof_is_reported(const session *s);

/** Its login is over, in one way or the other. */
void proof_forget(session *s);

/** Takes in all that the kernel has told by now. */
void proof_drain(rlyd *d);

#endif
