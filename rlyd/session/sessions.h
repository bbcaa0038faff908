/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Sessions by id, monitor, tunnel and listen address: the part of session.h that looks them up,
 * and, here, what only session.c calls to keep that right.
 */
#ifndef RLYD_SESSIONS_H
#define RLYD_SESSIONS_H

#include "session.h"

/** Gives it its id, and makes it known by that and by its monitor. */
void session_index_add(session *s);
/** It is known by another monitor from now on. */
void session_index_monitor(session *s, pid_t monitor);
/** Forgets it, its tunnel included. */
void session_index_remove(session *s);

/** It is a session of that tunnel, and of no other. */
void session_index_join(session *s, const char *tunnel, const char *fingerprint);
void session_index_leave(session *s);

/** It is the newest session that may listen on its addresses; or it is no longer. */
void session_index_expect(session *s);
void session_index_forget(session *s);

#endif
