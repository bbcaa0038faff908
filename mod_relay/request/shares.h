/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A bound on the threads of httpd's that one tunnel can hold (RelayTunnelThreads).
 */
#ifndef MOD_RELAY_SHARES_H
#define MOD_RELAY_SHARES_H

/** The requests above it that wait for their turn, of all processes; for mod_status. */
unsigned mod_relay_shares_waiting(void);

#endif
