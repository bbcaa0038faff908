/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How many of httpd's threads one tunnel can hold (RelayTunnelThreads).
 */
#ifndef MOD_RELAY_SHARES_H
#define MOD_RELAY_SHARES_H

#include <apr.h>

/** For mod_status; any thread of a child. @return 0 when nothing is counted */
int mod_relay_shares_look(unsigned *most, apr_uint32_t *refused);

#endif
