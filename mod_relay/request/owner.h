/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whose sockets are asked: a connection to a listen address goes to the tunnel user's socket, or is
 * given up before a byte was sent.
 */
#ifndef MOD_RELAY_OWNER_H
#define MOD_RELAY_OWNER_H

#include "realm.h"
#include "relay_owner.h"

/** Reads the tunnel user's uid; check_config. @return 0 where there is none, which is logged */
int mod_relay_owner_prepare(mod_relay_realm *realm, server_rec *s);

/** Who listens on a listen address; any thread. */
relay_owner mod_relay_owner_listens(const mod_relay_realm *realm, relay_listen_addr listen);

#endif
