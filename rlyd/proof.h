/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Notices that a login has succeeded: the monitor's child takes on the tunnel user's uid. The kernel's proc connector
 * says so at once; where it is not to be had (a container), the monitors that have not got that far are looked at.
 */
#ifndef RLYD_PROOF_H
#define RLYD_PROOF_H

#include "rlyd.h"

void proof_init(rlyd *d);

#endif
