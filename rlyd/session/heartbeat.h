/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** `relay:<name>`: tells, every 15 s and whenever Redis is back, that this relay is there, where
 * devices find it and by which host keys they know it. */
#ifndef RLYD_SESSION_HEARTBEAT_H
#define RLYD_SESSION_HEARTBEAT_H

#include "ground/rlyd.h"

void heartbeat_init(rlyd *d);

/** Redis serves (again). */
void heartbeat_ready(rlyd *d);

#endif
