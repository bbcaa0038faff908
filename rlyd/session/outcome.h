/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Writes the last log line of each session, and of each login that came to nothing, with the reason
 * as far as it can be known.
 */
#ifndef RLYD_SESSION_OUTCOME_H
#define RLYD_SESSION_OUTCOME_H

#include "session.h"

/** relay-authkeys does not grant a key. It asked on behalf of that monitor, whose identity has been
 * checked. */
void outcome_refused(rlyd *d, const proc_info *monitor, const message *refused);

/** Hooks: a key is granted after all; the session is gone. */
void outcome_offered(session *s, pid_t asker, const message *login);
void outcome_gone(session *s);

#endif
