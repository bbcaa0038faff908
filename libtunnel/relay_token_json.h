/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tokens as JSON: what rly prints and the API answers. References are the caller's.
 */
#ifndef RELAY_TOKEN_JSON_H
#define RELAY_TOKEN_JSON_H

#include "relay_token.h"

#include <jansson.h>

/** `{"v":1,"id":…,"role":…,"tenant":…,"label":…,"by":…,"created":…,"expires":…}`; a tenant of null
 * is all of them. @param token a relay_token */
json_t *relay_token_json(const void *token, apr_pool_t *p);

/** `{"v":1,"revoked":[…]}`. @param ids array of const char * */
json_t *relay_revoked_json(const apr_array_header_t *ids, apr_pool_t *p);

#endif
