/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tells others through Redis which listen address is up, and by whom: `live:<relay>`, the events up
 * and down, and, where addresses come back, `seen:<relay>`. When Redis comes back `live:` is
 * written anew, from the listeners.
 */
#ifndef RLYD_SESSION_LIVE_H
#define RLYD_SESSION_LIVE_H

#include "session.h"

/* ms: what rlyd tells of this relay outlives it for four heartbeats */
#define LIVE_EXPIRES "60000"

void live_init(rlyd *d);

/** Redis serves (again). */
void live_ready(rlyd *d);

/** Makes live:<relay> what it should be, once all listeners are accounted for. */
void live_sync(rlyd *d);

/** With each heartbeat: keeps live:<relay>, and puts it right where it is not. */
void live_refresh(rlyd *d);

/** The listen table has been read. In a space where addresses come back, `rly open` has to know
 * when that was, and that live: has it all. */
void live_looked(rlyd *d);

/* Hooks. */

/** It holds a listener there: writes it to live:. */
void live_up(session *s, relay_listen_addr addr);
/** Says that its tunnel is up, once. */
void live_announce(session *s, relay_listen_addr addr);
/** Nobody listens there any more. */
void live_down(session *s, relay_listen_addr addr);
/** It is one that was there before our start. */
void live_found(session *s);
/** Its tunnel has become known: asks what live: said of it. */
void live_identified(session *s);
/** Says that its tunnel is down. */
void live_gone(session *s);

#endif
