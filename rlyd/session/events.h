/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** What rlyd writes to the stream `events`. While Redis is away nothing is, and nothing is made up
 * for. */
#ifndef RLYD_SESSION_EVENTS_H
#define RLYD_SESSION_EVENTS_H

#include "sessions.h"

/** Something has happened to a session; nothing is written while its tunnel is not known. @param
 * field, value one more pair */
void event_of(const session *s, const char *what, const char *field, const char *value);

/** A process that is no session's listens there. */
void event_foreign(rlyd *d, const char *listen, uid_t uid);

#endif
