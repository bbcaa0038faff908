/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * HTTPS by libcurl, which is loaded when it is first needed: with what it brings it takes as long
 * to load as all else of rly to start. One connection, kept between requests. Certificates are
 * verified, nothing is followed to another place, and an answer is bounded.
 */
#ifndef RLY_API_HTTP_H
#define RLY_API_HTTP_H

#include "relay.h"

typedef struct rly_http rly_http;

typedef struct rly_http_request {
    const char *method, *url;
    const char *token;
    const char *once;         /* Idempotency-Key, or NULL */
    const char *body;         /* JSON, or NULL */
    apr_interval_time_t time; /* to have the whole answer in */
} rly_http_request;

typedef struct rly_http_answer {
    long status;
    const char *body; /* lives until the next request; NULL: there is none */
    apr_size_t len;
    apr_interval_time_t retry_after; /* 0: not said */
} rly_http_answer;

/**
 * @param cacert who may sign the server's certificate; NULL: whom the system trusts
 * @param p owns it; its clean-up closes the connection
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why: there is no libcurl
 */
apr_status_t rly_http_create(rly_http **out, const char *cacert, apr_pool_t *p, const char **why);

/**
 * @param sent out: the server may have got the request
 * @return APR_SUCCESS: there is an answer, whatever it says; RELAY_EUNREACHABLE with *why
 */
apr_status_t rly_http_ask(rly_http *h, const rly_http_request *req, rly_http_answer *answer,
                          int *sent, apr_pool_t *p, const char **why);

#endif
