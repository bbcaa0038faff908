/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Connections that have said too little yet wait in the MPM's poll set, without a thread. Here
 * their number is bounded, and the time of each. Any thread may call.
 */
#ifndef MOD_RELAY_WAITING_H
#define MOD_RELAY_WAITING_H

#include "directives.h"

typedef enum {
    MOD_RELAY_WAITING,
    MOD_RELAY_WAITING_TOO_LONG,
    MOD_RELAY_WAITING_CROWDED
} mod_relay_waiting_over;

/**
 * A connection is about to wait. It is ended when its patience is over, or sooner when too many
 * wait: its socket is then shut down, so that the MPM brings the connection back to
 * process_connection. Called again for each further wait, which cannot make it longer.
 * @param fd its socket; a copy of the descriptor is kept until the end of the wait
 * @return 0 when it may not wait: out of descriptors or memory
 */
int mod_relay_waiting_begin(conn_rec *c, int fd, const mod_relay_server *conf,
                            apr_interval_time_t patience);

/** The reason why it was ended meanwhile, if it was. Nothing that it may have said counts then. */
mod_relay_waiting_over mod_relay_waiting_is_over(conn_rec *c);

/** It waits no longer, and its descriptor may go elsewhere. The end of the connection's pool does
 * the same. */
void mod_relay_waiting_end(conn_rec *c);

#endif
