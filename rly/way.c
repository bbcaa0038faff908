/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "way.h"

#include <string.h>

apr_array_header_t *rly_of_device(const apr_array_header_t *tunnels, const char *device,
                                  apr_pool_t *p)
{
    apr_array_header_t *found = apr_array_make(p, 2, sizeof(relay_tunnel *));

    for (int i = 0; i < tunnels->nelts; i++) {
        relay_tunnel *t = APR_ARRAY_IDX(tunnels, i, relay_tunnel *);

        if (*device && strcmp(t->device, device) == 0)
            APR_ARRAY_PUSH(found, relay_tunnel *) = t;
    }
    return found;
}
