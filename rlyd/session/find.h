/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Sessions that nobody told us of: a search through /proc, in slices so small that the loop does
 * not feel it. Needed after a restart of ours, and where a login was not reported. Two kinds: the
 * process that holds a listener that no known session accounts for, whenever there is one; and,
 * once a minute, the stray: somebody who logged in unreported and listens nowhere. Whose he is
 * cannot be known, and he could begin to listen when his grant has long ended.
 */
#ifndef RLYD_FIND_H
#define RLYD_FIND_H

#include "ground/rlyd.h"

void find_init(rlyd *d);

/** Starts a search for the holders of unknown listeners soon, if none is under way. */
void find_start(rlyd *d);

#endif
