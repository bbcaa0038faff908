/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * JSON as lines of text, for shells without a parser of JSON: `key=value`, where the key of what
 * lies deeper is its path: `routes.0.url=https://…`. Pure.
 */
#ifndef RELAY_API_FLAT_H
#define RELAY_API_FLAT_H

#include "relay.h"

#include <jansson.h>

/** @return one line for each value that is no array and no object; a null is empty, and what would
 * end a line is `?` */
const char *api_flat(const json_t *json, apr_pool_t *p);

#endif
