/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_gone.h"

#include <string.h>

void relay_gone_read(relay_gone *out, const redisReply *hash, apr_pool_t *p)
{
    const char *why = relay_record_field(hash, "why"), *id = relay_record_field(hash, "tunnel");

    out->closed = why && strcmp(why, "closed") == 0;
    out->tunnel = id ? apr_pstrdup(p, id) : NULL;
}
