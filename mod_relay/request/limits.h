/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Visitors' fields and URLs may be 64 kB long, as browsers have it and httpd's defaults do not; in
 * return the whole head of a request is bounded.
 */
#ifndef MOD_RELAY_LIMITS_H
#define MOD_RELAY_LIMITS_H

#include "directives.h"

#include <httpd.h>

/**
 * Raises LimitRequestLine and LimitRequestFieldSize where the configuration names neither, for the
 * servers with RelayEngine on and those at the same addresses, which read a request before its name
 * is known; check_config.
 */
void mod_relay_limits_raise(server_rec *main_server);

#endif
