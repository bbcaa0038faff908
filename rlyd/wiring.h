/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Puts the parts of rlyd together: who hears what, and in which order. No part knows who hears of
 * what it tells.
 */
#ifndef RLYD_WIRING_H
#define RLYD_WIRING_H

#include "ground/rlyd.h"

/** Makes all parts, and opens the socket last: from then on there are sessions.
 * @return APR_SUCCESS, or an error with *why */
apr_status_t wiring_start(rlyd *d, apr_pool_t *p, const char **why);

/** The configuration is another one. Errors go to the log. */
void wiring_reload(rlyd *d, apr_pool_t *p);

/** rlyd ends; its sessions go on. */
void wiring_stop(rlyd *d);

#endif
