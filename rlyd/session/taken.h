/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tells `rly open` where in our listen space somebody else listens: the field `taken` of
 * relay:<name>. Such positions are passed over. A listener on all addresses takes its port at every
 * address. The field is written as it changes, and again with each heartbeat.
 */
#ifndef RLYD_SESSION_TAKEN_H
#define RLYD_SESSION_TAKEN_H

#include "session.h"

#include "relay_sockdiag.h"

void taken_init(rlyd *d);

/** Hooks: the listen table is going to be read; a listener on all addresses was met; the table has
 * been read. */
void taken_looking(rlyd *d);
void taken_wildcard(rlyd *d, const relay_socket *found);
void taken_looked(rlyd *d);

/** Hook: a session has authenticated. Warns of a listener that will keep it from listening. */
void taken_warn(session *s);

/** Writes the field. */
void taken_tell(rlyd *d);

#endif
