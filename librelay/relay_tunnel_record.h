/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `tunnel:<id>` as it stands in a reply to HGETALL. Pure, and without a pool: rlyd reads it in its
 * loop, relay_tunnel makes a relay_tunnel of it. Both say for themselves what they cannot do
 * without.
 */
#ifndef RELAY_TUNNEL_RECORD_H
#define RELAY_TUNNEL_RECORD_H

#include "relay_record.h"

#define RELAY_TUNNEL_ROUTES_MAX 32

/** What is missing or has not its form is NULL or 0. Strings live as long as the reply; they are
 * what the record has, of any form. */
typedef struct relay_tunnel_record {
    const char *id, *device, *relay, *key, *state, *by, *tenant;
    const char *host, *forwarded, *upgrade, *old_tls;
    apr_time_t created, expires, ended; /* by Redis's clock */
    int nroutes;                        /* 1 to RELAY_TUNNEL_ROUTES_MAX, or 0 */
    struct {
        const char *name, *service;
        relay_listen_addr listen; /* its port is 0 where the record has no listen address */
    } routes[RELAY_TUNNEL_ROUTES_MAX];
} relay_tunnel_record;

/** The version is not looked at: relay_record_version(). */
void relay_tunnel_record_read(relay_tunnel_record *out, const redisReply *hash);

#endif
