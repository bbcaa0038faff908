/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The parameters of a list, and the `next' of its answer.
 */
#ifndef RELAY_API_PAGES_H
#define RELAY_API_PAGES_H

#include "api.h"
#include "relay_rows.h"

/**
 * Reads limit and cursor; the page is of the caller's tenant.
 * @param answer out: what the call was answered, where they are wrong
 * @return whether they could be read
 */
int api_page_read(api_call *c, relay_page *page, int *answer);

/**
 * Answers with a page of records, of which the parameter `tenant` may want those of one tenant.
 * @param name of the array
 */
int api_page_answer(api_call *c, const relay_rows *rows, const char *name,
                    json_t *(*one)(const void *row, apr_pool_t *p));

/** Reads limit alone. @param answer as above */
int api_page_limit(api_call *c, int *count, int *answer);

/** The cursor of the next page, or null. */
json_t *api_page_next(const api_call *c, const relay_page *page);

#endif
