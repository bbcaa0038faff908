/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a caller says outside of a body: the parameters of the URL, where a page begins, which token
 * is his, which form he wants. Pure, and strict: what is not known is refused.
 */
#ifndef RELAY_API_QUERY_H
#define RELAY_API_QUERY_H

#include "relay.h"

/**
 * Reads `a=b&c=d`, percent-encoded.
 * @param text may be NULL
 * @param known the names that may be there, each followed by a blank
 * @param which out: the name that is at fault, clean or not; "" where that cannot be told
 * @return APR_SUCCESS, or RELAY_EINPUT with *why and *which
 */
apr_status_t api_query_parse(apr_table_t **out, const char *text, const char *known, apr_pool_t *p,
                             const char **which, const char **why);

/** Where a page ended: `MS-ID`. @return whether text has that form */
int api_cursor_parse(apr_time_t *expires, const char **id, const char *text, apr_pool_t *p);
const char *api_cursor_print(apr_time_t expires, const char *id, apr_pool_t *p);

/** The token of an Authorization field: what stands behind `Bearer`; NULL where that is not its
 * form. It points into the field. */
const char *api_bearer(const char *field);

/** Whether an Accept field names text/plain, and application/json not before that. */
int api_wants_text(const char *field);

/** Whether a text can be an Idempotency-Key: 1 to 255 visible characters of ASCII. */
int api_once_is_valid(const char *text);

#endif
