/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * One command's talk with the API: what its way (way_api, way_fleet) keeps, and how that asks.
 */
#ifndef RLY_API_TALK_H
#define RLY_API_TALK_H

#include "call.h"
#include "rly.h"

struct rly_api_state {
    rly_api *api;
    rly_answer_page seen; /* links of all tunnels that were told of, and the time */
};

#define RLY_TALK_PAGE "200"     /* things that a page has */
#define RLY_TALK_PAGES_MAX 5000 /* that a list has */

/** Asks. @param body or NULL; is dropped @return as rly_api_call() */
apr_status_t rly_talk(rly_api_result *result, rly *r, const char *method, const char *path,
                      json_t *body, const char **why);

/** `/v1/things/ID`. */
const char *rly_talk_path(const rly *r, const char *list_path, const char *id);

/** Whether a list goes on. @param next out: the parameters of its next page */
int rly_talk_goes_on(const char **next, const char *query, const char *before, const char *cursor,
                     apr_pool_t *p);

/** Reads a page of a list: rly_answer_tokens() and its like. */
typedef apr_status_t rly_talk_read(apr_array_header_t *rows, const char **next, const json_t *json,
                                   apr_pool_t *p, const char **why);

/** A whole list, page by page. @param tenant those of this one only, or NULL */
apr_status_t rly_talk_list(apr_array_header_t **out, rly *r, const char *path, const char *tenant,
                           rly_talk_read *read, const char **why);

/** @return APR_SUCCESS, or RELAY_ERECORD with *why: there still is a cursor */
apr_status_t rly_talk_ended(const char *cursor, apr_pool_t *p, const char **why);

#endif
