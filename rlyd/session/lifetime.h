/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Learns from Redis whose a session is and when it has to end. The stream `events` tells of changes
 * at once. As a safety net every session's record is read again in turn, and all of them when Redis
 * comes back. While Redis is away the known deadlines hold, by the monotonic clock, and nothing
 * else is concluded.
 */
#ifndef RLYD_SESSION_LIFETIME_H
#define RLYD_SESSION_LIFETIME_H

#include "session.h"

void lifetime_init(rlyd *d);
void lifetime_reload(rlyd *d);

/** Redis serves (again): asks about every session. */
void lifetime_ready(rlyd *d);

/* Hooks. */

/** Notes what relay-authkeys read; it counts until the record itself has been read. */
void lifetime_offered(session *s, pid_t asker, const message *login);
/** Forgets that, where it is not known which key made the login. */
void lifetime_entered(session *s);
/** Reads the session's record: is it open, until when? Keeps the deadline known so far. */
void lifetime_proved(session *s);
/** Asks whose a found session is. */
void lifetime_found(session *s);
/** It is ENDING, or gone: no deadline counts any more. */
void lifetime_ending(session *s);

#endif
