/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Which process holds a listener that no known session accounts for: a search through /proc, in slices so small that
 * the loop does not feel it. Needed after a restart of ours, and where a login was not reported.
 */
#ifndef RLYD_FIND_H
#define RLYD_FIND_H

#include "rlyd.h"

void find_init(rlyd *d);

/** Starts a search soon, if none is under way. */
void find_start(rlyd *d);

#endif
