/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Sets TCP_NODELAY on the socket of this relay's listening sshd, where there is one. Accepted
 * connections inherit it, and sshd has no directive for it. rlyd sets it through a copy of the
 * descriptor, and again when sshd was restarted or has read its configuration anew.
 */
#ifndef RLYD_GROUND_NODELAY_H
#define RLYD_GROUND_NODELAY_H

#include "rlyd.h"

void nodelay_init(rlyd *d);

#endif
