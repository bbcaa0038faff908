/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The listening sshd of this relay, where there is one: accepted connections inherit the options of
 * the socket that it listens on, and sshd cannot be told to set TCP_NODELAY there. So it is set
 * from here, through a copy of the descriptor, and again when sshd was restarted or has read its
 * configuration anew.
 */
#ifndef RLYD_NODELAY_H
#define RLYD_NODELAY_H

#include "rlyd.h"

void nodelay_init(rlyd *d);

#endif
