/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What Redis says about the sessions' tunnels: whose a session is, and when it has to end. Told by
 * the `events` stream at once, asked again for every session in turn as a safety net, and for all
 * of them whenever Redis comes back. While Redis is away deadlines that are known hold, by the
 * monotonic clock, and nothing else is concluded.
 */
#ifndef RLYD_LIFETIME_H
#define RLYD_LIFETIME_H

#include "ground/redis.h"
#include "session.h"

void lifetime_init(rlyd *d);
void lifetime_reload(rlyd *d);

/** Notes what relay-authkeys read; it counts until the record itself has been read. */
void lifetime_offered(session *s, int64_t expires_redis_ms);

/** Reads the session's record: is it open, until when? Arms the deadline known so far. */
void lifetime_check(session *s);

/** Asks whose a found session is. */
void lifetime_identify(session *s);

/** The session's timer: its deadline is here. */
void lifetime_deadline(session *s);

/** Redis's time in ms for a moment of ours; 0 while it has never been asked. */
int64_t lifetime_redis_ms(const rlyd *d, int64_t at_ms);

/** The connection to Redis, for `live`. */
redis_link *lifetime_link(rlyd *d);

#endif
