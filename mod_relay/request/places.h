/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A device may have few sockets: 4 to 7, or one. It refuses a connection above that, closes it at
 * once, or lets it wait until another one is closed. A place is the right to one of its
 * connections, over all processes: this is who may connect, and what happens when the device
 * refuses all the same. sockets.h has what becomes of a connection then.
 *
 * A request's thread calls, while mod_relay_shared_get() is not NULL where nothing else is said. A
 * device over HTTP/2 (h2c) has no places: services that speak that have no such bounds.
 */
#ifndef MOD_RELAY_PLACES_H
#define MOD_RELAY_PLACES_H

#include "request.h"
#include "shared.h"

struct mod_relay_backend;

/** How a new connection came about. */
typedef struct mod_relay_connected {
    int waited; /* nothing was sent on it until the device would have refused it */
    apr_time_t begun;
} mod_relay_connected;

/**
 * Ahead of mod_proxy: waits until the device takes another connection, or one is idle. With or
 * without shared memory.
 * @return OK, or 503 when that took too long; rr->crowded says so
 */
int mod_relay_places_wait(request_rec *r, mod_relay_request *rr);

/**
 * A connection has been made; rr->place is its place from here on, if it is counted. If the device
 * may refuse it, this waits until it would have. If the device does refuse it, this waits for
 * another one's end and connects anew, on the same descriptor.
 * @return OK, or 503 as above
 */
int mod_relay_place_settle(mod_relay_request *rr, conn_rec *c, apr_socket_t *csd,
                           mod_relay_connected *how);

/**
 * @param kind `+' for a place, `=' for a connection that has had an answer, `~' for one that may
 * still be refused
 * @param refused out, unless NULL: the device has `limit` already
 * @return its cell; 0 when it is refused, or cannot be counted
 */
unsigned mod_relay_place_take(char kind, const mod_relay_device *d, unsigned limit, int *refused);

/** Nothing for 0. */
void mod_relay_place_give(unsigned *cell);

unsigned mod_relay_places_count(char kind, const mod_relay_device *d);

/** What all processes know of the backend's device; not for one without places. */
mod_relay_device *mod_relay_places_device(struct mod_relay_backend *be);

/** The device has refused a connection, while it had so many others. One that has ended within two
 * moments may still count for it. */
void mod_relay_places_learn(mod_relay_device *d, unsigned others, apr_interval_time_t moment);

/** All processes close idle connections that are in somebody's way: d->wanted or d->silent is
 * set. */
void mod_relay_places_call(mod_relay_device *d);

/** The requests that wait, of all processes; for mod_status. */
unsigned mod_relay_places_waiting(void);

#endif
