/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The warnings of `apachectl configtest`. They are no errors: httpd starts, and the trouble that
 * comes later is hard to trace back. Restarts do not repeat them, and do not wait for a Redis that
 * hangs.
 */
#ifndef MOD_RELAY_CHECK_H
#define MOD_RELAY_CHECK_H

#include "realm.h"

/** Checks a realm and the servers that use it; check_config. Redis is asked, if it answers in time.
 */
void mod_relay_check_realm(const mod_relay_realm *realm, server_rec *main_server, apr_pool_t *p);

#endif
