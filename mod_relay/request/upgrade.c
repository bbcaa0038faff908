/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A proxy worker's own list of protocols has room for 15 bytes. So where a route names any, its
 * worker lets everything pass, and the names are compared here.
 */

#include "upgrade.h"

#define WEBSOCKET "websocket"

const char *mod_relay_upgrade_of_worker(const mod_relay_request *rr)
{
    return *rr->route.upgrade ? "*" : WEBSOCKET;
}

/* Names are separated by one space. A list of them in the field is none of the names. */
static int is_one_of(const char *wanted, const char *names)
{
    apr_size_t length = strlen(wanted);

    for (; *names; names += strcspn(names, " "), names += strspn(names, " "))
        if (strcspn(names, " ") == length && strncasecmp(names, wanted, length) == 0)
            return 1;
    return 0;
}

void mod_relay_upgrade_begin(request_rec *r, const mod_relay_request *rr)
{
    const char *wanted = apr_table_get(r->headers_in, "Upgrade");

    if (wanted && strcasecmp(wanted, WEBSOCKET) && !is_one_of(wanted, rr->route.upgrade))
        apr_table_unset(r->headers_in, "Upgrade");
}
