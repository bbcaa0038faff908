/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** Writes to the stream `events`. What happens while Redis is away is never written. */
#ifndef RLYD_SESSION_EVENTS_H
#define RLYD_SESSION_EVENTS_H

#include "sessions.h"

/** Something has happened to a session. Writes nothing while its tunnel is not known. @param field,
 * value one more pair of the event */
void event_of(const session *s, const char *what, const char *field, const char *value);

/** A process that is no session's listens there. */
void event_foreign(rlyd *d, const char *listen, uid_t uid);

#endif
