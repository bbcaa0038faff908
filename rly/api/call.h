/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Calls of the API: JSON there and back, and what is done when it says that it cannot tell whether
 * it has done something. Only what writes is asked again then, under the same Idempotency-Key.
 */
#ifndef RLY_API_CALL_H
#define RLY_API_CALL_H

#include "answer.h"
#include "place.h"

typedef struct rly_api rly_api;

/** @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why */
apr_status_t rly_api_create(rly_api **out, const rly_place *place, apr_pool_t *p, const char **why);

typedef struct rly_api_request {
    const char *method, *path; /* /v1/… with its parameters */
    json_t *body;              /* or NULL; stays the caller's */
    int patience;              /* seconds for which the API may wait for what it answers */
    int once;                  /* must not be asked twice, not even under an Idempotency-Key */
} rly_api_request;

typedef struct rly_api_result {
    json_t *json;               /* the caller's; NULL after an error */
    rly_answer_problem problem; /* after an error */
    int repeated;               /* it was asked more than once */
} rly_api_result;

/**
 * Asks, and asks again within 20 s (and its patience) where that makes sense.
 * @return APR_SUCCESS; as librelay returns it where the API says so: RELAY_ENOTFOUND, RELAY_EGONE,
 * RELAY_EREFUSED, RELAY_EINPUT, RELAY_ERECORD, RELAY_EUNREACHABLE; with *why
 */
apr_status_t rly_api_call(rly_api_result *out, rly_api *api, const rly_api_request *req,
                          apr_pool_t *p, const char **why);

/** A value for a URL. */
const char *rly_api_escape(const char *text, apr_pool_t *p);

#endif
