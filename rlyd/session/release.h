/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Takes a session's listeners away for good, before its processes come round to ending. A newer
 * session can bind the addresses there and then, and no visitor is let in any more.
 */
#ifndef RLYD_SESSION_RELEASE_H
#define RLYD_SESSION_RELEASE_H

#include "session.h"

/** Hook: it is ENDING. */
void release_listeners(session *s);

#endif
