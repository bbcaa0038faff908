/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A bound on the threads of httpd's that one tunnel can hold (RelayTunnelThreads).
 */
#ifndef MOD_RELAY_SHARES_H
#define MOD_RELAY_SHARES_H

#include <apr.h>

/**
 * For mod_status; any thread of a child.
 * @param most out: the requests of the tunnel that has most of them under way
 * @param refused out: the refusals so far
 * @return 0 when nothing is counted
 */
int mod_relay_shares_look(unsigned *most, apr_uint32_t *refused);

#endif
