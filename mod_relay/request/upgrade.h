/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The protocols besides WebSocket that a visitor may switch to: those that the route names (`rly
 * open --upgrade'). The request's thread calls.
 */
#ifndef MOD_RELAY_UPGRADE_H
#define MOD_RELAY_UPGRADE_H

#include "request.h"

/** What the route's worker lets pass: proxy_worker_shared's `upgrade'. */
const char *mod_relay_upgrade_of_worker(const mod_relay_request *rr);

/** mod_proxy is about to ask the device. Upgrade to anything else is taken out of the request. */
void mod_relay_upgrade_begin(request_rec *r, const mod_relay_request *rr);

#endif
