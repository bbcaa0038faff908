/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The way over the API (../way.h): which API it is, and what it is asked.
 */
#ifndef RLY_API_WAY_API_H
#define RLY_API_WAY_API_H

#include "way.h"

/**
 * Sees whether rly goes over an API: --api, else -c goes to Redis, else RELAY_API, else RELAY_CONF
 * goes to Redis, else rly.conf. Then r->way, r->cfg and r->api are made.
 * @param chosen out: whether it does
 * @return RLY_DONE, or an exit status after an error message
 */
int rly_api_choose(int *chosen, rly *r);

#endif
