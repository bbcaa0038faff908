/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Events as JSON: what rly prints and the API answers. References are the caller's.
 */
#ifndef RELAY_HISTORY_JSON_H
#define RELAY_HISTORY_JSON_H

#include "relay_history.h"

#include <jansson.h>

/** `{"v":1,"id":…,"at":…,"what":…,"tunnel":…,"tenant":…,"relay":…,"by":…,"from":…,"request":…,
 * "details":{…}}`; null is what does not apply. Details are texts; `expires` is a time. */
json_t *relay_happened_json(const relay_happened *e, apr_pool_t *p);

/** `{"v":1,"events":[…],"next":…,"more":…}` */
json_t *relay_history_json(const relay_history *h, apr_pool_t *p);

#endif
