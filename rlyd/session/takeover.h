/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Decides which of a tunnel's sessions has the tunnel: the newest one that listens.
 *
 * A newcomer that has proved its key may take the tunnel from a session that is alive. But sshd can
 * bind its address only when the older session's listener is out of the way, and nobody sees
 * whether the newcomer will ask for the address at all. So the older listeners are parked
 * (parking.h) for as long as an honest client needs to ask, a second or two. When the newcomer
 * listens the older session is ended. When it does not, or goes, the listeners come back: the older
 * session has lost nothing but visitors who came meanwhile, and they were told 503.
 *
 * A login may be over before rlyd comes to look: sshd refused it the address. Then the next login
 * that is reported within a minute has the listeners parked before its proof. When such parking was
 * for nothing several times within a minute, somebody keeps logging in and never listens: then
 * nothing is parked for a minute.
 */
#ifndef RLYD_SESSION_TAKEOVER_H
#define RLYD_SESSION_TAKEOVER_H

#include "session.h"

void takeover_init(rlyd *d);

/* Hooks. */

/** A key of its tunnel was reported. Ends sessions of that tunnel whose peer has been silent for
 * too long to be alive. */
void takeover_offered(session *s, pid_t asker, const message *login);

/** It has authenticated. Parks the listeners of the session that serves; ends others that do not
 * listen. */
void takeover_proved(session *s);

/** It was found. Of two sessions of a tunnel the newer one stays. */
void takeover_identified(session *s);

/** It listens: the tunnel is its own, and the others end. */
void takeover_up(session *s, relay_listen_addr addr);

/** It ends, or is gone. */
void takeover_over(session *s);

/** rlyd ends: nothing stays parked. */
void takeover_stop(rlyd *d);

#endif
