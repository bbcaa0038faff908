/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Where in our listen space somebody else listens: the field `taken` of relay:<name>, which `rly
 * open` passes over. A listener on all addresses takes its port at every address. Told as it
 * changes, and again with each heartbeat.
 */
#ifndef RLYD_TAKEN_H
#define RLYD_TAKEN_H

#include "session.h"

#include "relay_sockdiag.h"

void taken_init(rlyd *d);

/** A look at the listen table begins; it meets a listener on all addresses; it has met all that
 * there are. */
void taken_begin(rlyd *d);
void taken_wildcard(rlyd *d, const relay_socket *found);
void taken_end(rlyd *d);

/** A session has authenticated: says so where it will not be able to listen. */
void taken_warn(session *s);

/** Writes it; the heartbeat calls this, too. */
void taken_tell(rlyd *d);

#endif
