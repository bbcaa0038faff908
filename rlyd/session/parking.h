/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Parks a session's listeners: takes them away so that they can be given back. A parked listener is
 * the same socket, connected to itself. It holds no address against another session's bind(), and
 * accepts nobody. It never becomes readable, so the sshd that waits on it notices nothing. The
 * session's open connections go on.
 */
#ifndef RLYD_SESSION_PARKING_H
#define RLYD_SESSION_PARKING_H

#include "session.h"

/** Parks the listeners that the session holds. @return 0; or -1 when one cannot be parked: then
 * none is */
int parking_park(session *s);

/** Makes them listen again. @return 0; or -1 when one cannot, because
 * another session listens there */
int parking_restore(session *s);

/** After a start: what an rlyd that was killed left parked listens again. A session whose address a
 * newer one has by now is ended. */
void parking_recover(rlyd *d);

#endif
