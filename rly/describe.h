/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tunnels as people and scripts see them: URLs, ssh commands, JSON, and which of their routes are
 * connected.
 */
#ifndef RLY_DESCRIBE_H
#define RLY_DESCRIBE_H

#include "rly.h"

#include <apr_hash.h>
#include <jansson.h>

/** A route's device as rlyd wrote it down: connected or not. */
typedef struct rly_link {
    int known; /* 0: no rlyd reports for that relay */
    int up;
    int taken;        /* another process listens there: it cannot come up */
    apr_time_t since; /* 0: not known */
    const char *peer; /* may be NULL */
} rly_link;

/** The content of `live:`, per relay; filled when it is first asked for. */
typedef struct rly_links {
    rly *r;
    apr_hash_t *relays;
} rly_links;

rly_links *rly_links_create(rly *r);

/** @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why */
apr_status_t rly_link_of(rly_link *out, rly_links *links, const relay_tunnel *t, int route,
                         const char **why);

/** The address for a browser, or NULL for a service that is none of a browser's (tcp). */
const char *rly_route_url(const relay_config *cfg, const relay_tunnel_route *route, apr_pool_t *p);

/** The `-R` argument, or RemoteForward's, for a route: listen address and target.
 * @return NULL when the record's service cannot be read */
const char *rly_route_forward(const relay_tunnel_route *route, const char *between, apr_pool_t *p);

/** Route i: `{"name":…,"url":…,"service":…,"listen":…,"host":…,"forwarded":…,"upgrade":[…],
 * "old_tls":…}` */
json_t *rly_route_json(const relay_config *cfg, const relay_tunnel *t, int i, apr_pool_t *p);

/** The object that `show --json` prints; `list --json` prints an array of them.
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why */
apr_status_t rly_tunnel_json(json_t **out, rly_links *links, const relay_tunnel *t,
                             const char **why);

/** A string of JSON that is valid, whatever bytes a record holds. */
json_t *rly_json_text(const char *text, apr_pool_t *p);

/** Prints one line, and drops the reference. @return RLY_DONE, or RLY_REFUSED
 * when memory ran out */
int rly_json_print(json_t *json);

#endif
