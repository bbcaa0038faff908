/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_relay_api: JSON below /v1. What its files share is one call: a request, who makes it, and
 * what it is answered. Each concept has a file:
 *
 *   mod_relay_api  the module's record; from the configuration to a child that serves
 *   directives     the settings
 *   call           a request's way: path, method, token, rate, right, and its handler
 *   endpoints.def  paths, methods, rights and handlers
 *   tunnels, tokens, codes, devices, relays, events, about   the handlers
 *   made           what admins make: for whom, and what is answered
 *   follow, followers   calls that wait for events, and how many may
 *   person         people whom httpd has logged in, and their roles
 *   origin         whose page asks in their name
 *   answer         JSON and text, and the problems of RFC 9457
 *   body, member   a request's JSON, read strictly
 *   query          the parameters of a URL, the cursor of a page, the Authorization field
 *   pages          limit and cursor of a list
 *   flat           JSON as lines of text
 *
 * body's reading, member, query, origin and flat know nothing of httpd. A call belongs to one
 * thread.
 */
#ifndef RELAY_API_H
#define RELAY_API_H

#include "directives.h"
#include "relay_stores.h"
#include "relay_token.h"

#include <jansson.h>

/** One relay.conf as this process sees it. */
typedef struct api_realm {
    const relay_config *relay;
    relay_stores *stores; /* in children, from child_init on, as the next */
    struct api_followers *followers;
} api_realm;

typedef struct api_call {
    request_rec *r;
    apr_pool_t *p; /* the request's */
    const api_conf *conf;
    api_realm *realm;
    const relay_config *cfg;
    const char *id;     /* the request's own: X-Request-Id, events, the log */
    int text;           /* the caller wants key=value lines */
    int body_read;      /* nothing of the request is left on the connection */
    relay_store *store; /* lent while the handler runs; NULL for what asks nobody */
    apr_time_t now;     /* by Redis's clock, as the call began; 0 for what asks nobody */
    relay_token token;  /* who calls; its id is NULL where nobody has to say, and
                         * `person:SHA256' where httpd has logged somebody in */
    relay_actor actor;  /* the same for the records */
    const char *object; /* {id} of the path, or NULL */
    apr_table_t *query; /* parameters, checked: known, and once each */
    relay_once *once;   /* Idempotency-Key; NULL: none was sent */
    int unreachable;    /* Redis was: the store is given back as broken */
} api_call;

/** A handler answers the call, by api_answer() or api_problem(), and returns what that returns. */
typedef int api_handler(api_call *c);

typedef struct api_endpoint {
    const char *method, *path;
    int right;              /* RELAY_MAY_…; 0: no token is asked for */
    int redis;              /* whether it asks Redis */
    const char *parameters; /* of the URL, each followed by a blank */
    api_handler *run;
} api_endpoint;

#define ENDPOINT(method, path, right, redis, parameters, run) extern api_handler run;
#include "endpoints.def"
#undef ENDPOINT

/** The handler hook. */
int api_serve(request_rec *r);

#endif
