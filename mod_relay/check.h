/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What `apachectl configtest` warns of: it is no error, httpd starts, and what comes of it is hard
 * to see. Restarts say nothing of it again, and do not wait for a Redis that hangs.
 */
#ifndef MOD_RELAY_CHECK_H
#define MOD_RELAY_CHECK_H

#include "realm.h"

/** Looks at a realm and at the servers that use it; check_config. Redis is asked, if it answers in
 * time. */
void mod_relay_check_realm(const mod_relay_realm *realm, server_rec *main_server, apr_pool_t *p);

#endif
