/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What the API answers of enrolment codes, devices, relays and events, read as answer.h says. Pure;
 * results are in pool p. All of them return APR_SUCCESS, or RELAY_ERECORD with *why.
 */
#ifndef RLY_API_FLEET_H
#define RLY_API_FLEET_H

#include "relay_code.h"
#include "relay_device.h"
#include "relay_history.h"
#include "relay_host.h"

#include <jansson.h>

/** A code. @param text out: the code itself; may be NULL where none is looked for */
apr_status_t rly_answer_code(relay_code *out, const char **text, const json_t *json, apr_pool_t *p,
                             const char **why);

apr_status_t rly_answer_device(relay_device *out, const json_t *json, apr_pool_t *p,
                               const char **why);

/** A page of them. @param codes relay_code *, added to @param next out: cursor, or NULL */
apr_status_t rly_answer_codes(apr_array_header_t *codes, const char **next, const json_t *json,
                              apr_pool_t *p, const char **why);

/** A page of them. @param devices relay_device *, added to @param next out: cursor, or NULL */
apr_status_t rly_answer_devices(apr_array_header_t *devices, const char **next, const json_t *json,
                                apr_pool_t *p, const char **why);

/** All of them. @param relays relay_host *, added to */
apr_status_t rly_answer_relays(apr_array_header_t *relays, const json_t *json, apr_pool_t *p,
                               const char **why);

/** A page of events: they have to stand behind h->since, in their order. @param h gets its results,
 * where the answer is right */
apr_status_t rly_answer_events(relay_history *h, const json_t *json, apr_pool_t *p,
                               const char **why);

#endif
