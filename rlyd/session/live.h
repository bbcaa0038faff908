/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What others learn of this relay through Redis: `live:<relay>` (which listen address is up, and by
 * whom), the events up, down and foreign, and `relay:<name>` (a heartbeat with the host keys). What
 * cannot be written because Redis is away is made good when it comes back: `live:` is written anew,
 * from the listeners.
 */
#ifndef RLYD_LIVE_H
#define RLYD_LIVE_H

#include "session.h"

void live_init(rlyd *d);

/** Redis has come (back). */
void live_ready(rlyd *d);

/** Makes live:<relay> what it should be, once all listeners are accounted for. */
void live_sync(rlyd *d);

/** A session listens there. */
void live_up(rlyd *d, relay_listen_addr addr, session *s);
/** Nobody listens there any more. */
void live_down(rlyd *d, relay_listen_addr addr);
/** Whether a listener of this session can be written to live: yet. */
int live_has(const session *s);
/** At `at_ms` by our clock all listeners were accounted for, and each one of a session was given to
 * live_up(). */
void live_seen(rlyd *d, int64_t at_ms);
/** The tunnel of a found session has become known. */
void live_identified(rlyd *d, session *s);

/** Writes to `events`; field and value may be NULL. */
void live_event(rlyd *d, const char *what, const session *s, const char *field, const char *value);
void live_foreign(rlyd *d, const char *listen, uid_t uid);

#endif
