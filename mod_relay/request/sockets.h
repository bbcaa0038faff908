/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A socket is one connection to a device that may have few (places.h). It lives for as long as its
 * connection or a request has it. When no request has it, it is idle, and is closed when another
 * one waits for a connection of that device. A request's thread calls, unless said otherwise.
 */
#ifndef MOD_RELAY_SOCKETS_H
#define MOD_RELAY_SOCKETS_H

#include "request.h"

typedef struct mod_relay_socket mod_relay_socket;

/**
 * A connection has been made, and settles (mod_relay_place_settle()).
 * @param out NULL where nothing is counted
 * @return OK, or 503
 */
int mod_relay_socket_open(mod_relay_socket **out, conn_rec *c, apr_socket_t *csd,
                          mod_relay_request *rr);

/** mod_proxy has taken it from its pool. @return 0: it is being closed, for others */
int mod_relay_socket_take(mod_relay_socket *s, mod_relay_request *rr);

/** An answer has begun on it, the first one. @param sent when a body had been sent, or 0 */
void mod_relay_socket_answered(mod_relay_socket *s, apr_time_t sent);

/**
 * It was new, a request was sent on it, and it has ended without a byte of an answer.
 * @param unread nobody can have read that request
 */
void mod_relay_socket_failed(mod_relay_socket *s, int unread);

/** Its connection has ended; any thread. */
void mod_relay_socket_ended(mod_relay_socket *s);

/** mod_proxy is done with the request: what it had is idle. */
void mod_relay_sockets_end(mod_relay_request *rr);

/** How long the request's device may be silent before mod_relay_sockets_silent() wants to know; 0:
 * it does not. */
apr_interval_time_t mod_relay_sockets_patience(const mod_relay_request *rr);

/** It has been silent for so long. */
void mod_relay_sockets_silent(const mod_relay_request *rr);

#endif
