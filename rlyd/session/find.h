/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Finds sessions that nobody reported: rlyd was restarted, or a report was lost. It searches /proc,
 * in slices so small that the loop does not feel them. One kind is a process that holds a listener
 * of no known session; it is searched for as soon as there is such a listener. The other kind is a
 * stray: a login that nobody reported and that listens nowhere. Once a minute strays are ended:
 * nobody knows whose they are, and one could begin to listen when its grant has long ended.
 */
#ifndef RLYD_SESSION_FIND_H
#define RLYD_SESSION_FIND_H

#include "ground/rlyd.h"

void find_init(rlyd *d);

/** Hook: there are unknown listeners. Starts a search for their holders soon, if none is under way.
 */
void find_start(rlyd *d);

#endif
