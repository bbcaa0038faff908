/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Who asks, as the scripts take it that have one argument of JSON. In librelay_json.
 */
#ifndef RELAY_ACTOR_JSON_H
#define RELAY_ACTOR_JSON_H

#include "relay_actor.h"

#include <jansson.h>

/** {by, from, request, across}. @return NULL where a text is no UTF-8 */
json_t *relay_actor_json(const relay_actor *actor);

/** The text of a script's argument; drops the reference. */
const char *relay_json_argument(json_t *json, apr_pool_t *p);

/** {owner, key, request}, or NULL for NULL. */
json_t *relay_once_json(const relay_once *once);

#endif
