/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A backend is a proxy worker for one route: mod_proxy's connection pool for one tunnel id and one
 * listen address. It is never shared between routes and never outlives the tunnel. Any thread may
 * call.
 *
 * A request that has acquired a backend holds it until the request's pool goes. A private backend
 * is in no list, and its maker destroys it.
 */
#ifndef MOD_RELAY_BACKEND_H
#define MOD_RELAY_BACKEND_H

#include "request.h"

typedef struct mod_relay_backends mod_relay_backends;
typedef struct mod_relay_backend mod_relay_backend;

/** What is known of the TLS of a route's service. tls_context.c and tls.c have its meaning; all of
 * it is read and written by apr_atomic. */
typedef struct mod_relay_backend_tls {
    volatile apr_uint32_t works;     /* the last handshake succeeded */
    volatile apr_uint32_t nameless;  /* the service refuses the name: it is sent none */
    volatile apr_uint32_t certified; /* the service has asked for a certificate of the relay's */
    volatile apr_uint32_t fault;     /* a mod_relay_tls_fault, since the last request began */
    volatile apr_uint32_t code;      /* OpenSSL's error beside that, or 0 */
} mod_relay_backend_tls;

/**
 * What the connections of a backend have shown of their device; wire.c's. Several threads read and
 * write it at the same time, each member by itself: it serves guesses.
 */
typedef struct mod_relay_habits {
    volatile int keeps;                        /* a connection has carried a second answer */
    volatile apr_time_t lost;                  /* when a request was last lost, or 0 */
    volatile apr_time_t closed;                /* when a connection was last found closed, or 0 */
    volatile apr_interval_time_t closes_after; /* it had been unused for so long */
    volatile apr_interval_time_t keeps_for;    /* one that was unused for so long had an answer */
} mod_relay_habits;

/** The backend's connections, beside what all processes know of their device; sockets.c's. */
typedef struct mod_relay_backend_device_of {
    apr_uint64_t key;                         /* of the device; 0: nothing is counted */
    struct mod_relay_device *volatile device; /* its place in the shared memory, or another's */
    volatile apr_uint32_t idle;               /* connections; by apr_atomic */
    volatile apr_uint32_t waiting;            /* requests; by apr_atomic */
} mod_relay_backend_device_of;

void mod_relay_backends_create(mod_relay_backends **out, apr_pool_t *p);

/**
 * A route has changed or ended; name NULL: any of them may have. Idle connections go soon, unless
 * the next request finds its route unchanged.
 */
void mod_relay_backends_doubt(mod_relay_backends *b, const char *name);

/** Destroys the backends that nobody uses any more; to be called about once a second. */
void mod_relay_backends_sweep(mod_relay_backends *b);

int mod_relay_backends_count(mod_relay_backends *b);

/**
 * Takes the route's backend for this request, and makes it if need be.
 * @return NULL after a line in the log
 */
mod_relay_backend *mod_relay_backend_acquire(request_rec *r, const mod_relay_request *rr);

/** Requests that have its connections keep them; the next request gets a new backend. */
void mod_relay_backend_retire(mod_relay_backend *be);

/** Whether it is one for this request's route and server. */
int mod_relay_backend_is_for(const mod_relay_backend *be, const mod_relay_request *rr);

mod_relay_habits *mod_relay_backend_habits(mod_relay_backend *be);
struct proxy_worker *mod_relay_backend_worker(const mod_relay_backend *be);

mod_relay_backend_tls *mod_relay_backend_tls_of(mod_relay_backend *be);
mod_relay_backend_device_of *mod_relay_backend_device(mod_relay_backend *be);

/** The backend that a connection to a device belongs to; NULL: it is no connection to a device. */
mod_relay_backend *mod_relay_backend_of(const conn_rec *c);

/** A backend that no other request gets; NULL after a line in the log. The caller ends it. */
mod_relay_backend *mod_relay_backend_make_private(request_rec *r, const mod_relay_request *rr);
void mod_relay_backend_destroy(mod_relay_backend *be);

#endif
