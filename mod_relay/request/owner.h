/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A connection to a listen address reaches a socket of the tunnel user's, or is given up before a
 * byte was sent.
 */
#ifndef MOD_RELAY_OWNER_H
#define MOD_RELAY_OWNER_H

#include "realm.h"
#include "relay_owner.h"

/** Looks the tunnel user's uid up; check_config. @return 0 if there is no such user; the log says
 * so
 */
int mod_relay_owner_prepare(mod_relay_realm *realm, server_rec *s);

/** Asks the kernel whose socket listens on a listen address; any thread. */
relay_owner mod_relay_owner_listens(const mod_relay_realm *realm, relay_listen_addr listen);

/**
 * Of a new connection to a device; a request's thread.
 * @return DECLINED: it may be used; or 503, and nothing can be sent on it any more
 */
int mod_relay_owner_check(conn_rec *c, apr_socket_t *csd);

#endif
