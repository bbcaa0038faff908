/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Which routes have a device connected, as the relays' rlyds report it.
 */
#ifndef RELAY_LINKS_H
#define RELAY_LINKS_H

#include "relay_tunnel.h"

/** A route's device as rlyd wrote it down: connected or not. */
typedef struct relay_link {
    int known; /* 0: no rlyd reports for that relay */
    int up;
    int taken;        /* another process listens there: it cannot come up */
    apr_time_t since; /* 0: not known */
    const char *peer; /* may be NULL */
} relay_link;

typedef struct relay_links relay_links;

/**
 * Reads what is reported of the routes of some tunnels: one round trip for each of their relays.
 * @param tunnels array of relay_tunnel *
 * @param out in pool p
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_links_read(relay_links **out, relay_store *s, const apr_array_header_t *tunnels,
                              apr_pool_t *p, const char **why);

/** The same of one tunnel. */
apr_status_t relay_links_read_one(relay_links **out, relay_store *s, relay_tunnel *t, apr_pool_t *p,
                                  const char **why);

/** Links that somebody else has read: none yet. */
relay_links *relay_links_told(apr_pool_t *p);

/** Adds a tunnel's. @param of one for each of its routes; kept */
void relay_links_tell(relay_links *links, const relay_tunnel *t, const relay_link *of);

/** What was read of a route. @param t one of those tunnels */
void relay_link_of(relay_link *out, const relay_links *links, const relay_tunnel *t, int route);

#endif
