/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "realm.h"

static apr_array_header_t *realms;

const apr_array_header_t *mod_relay_realms(void)
{
    return realms;
}

void mod_relay_realms_reset(apr_pool_t *p)
{
    realms = apr_array_make(p, 1, sizeof(mod_relay_realm *));
}

mod_relay_realm *mod_relay_realm_find(const char *file)
{
    int i;

    for (i = 0; i < realms->nelts; i++) {
        mod_relay_realm *realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);

        if (strcmp(realm->relay->file, file) == 0)
            return realm;
    }
    return NULL;
}

void mod_relay_realm_add(mod_relay_realm *realm)
{
    APR_ARRAY_PUSH(realms, mod_relay_realm *) = realm;
}
