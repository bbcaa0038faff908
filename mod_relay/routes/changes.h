/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Redis's reports of keys that were written or have expired (CLIENT TRACKING … BCAST, RESP2): from
 * the bytes that a subscriber receives to the names of routes. Knows nothing of httpd, and takes
 * any bytes.
 */
#ifndef MOD_RELAY_CHANGES_H
#define MOD_RELAY_CHANGES_H

#include "relay.h"
#include <hiredis/hiredis.h>

/** The receiver of changes. */
typedef struct mod_relay_changes {
    const char *prefix; /* of the keys that count: [redis] prefix and `route:` */
    void (*one)(void *baton, const char *name); /* this route was written or has expired */
    void (*all)(void *baton); /* everything may have changed: FLUSHALL and the like */
    void *baton;
} mod_relay_changes;

/**
 * Takes in all whole messages that the reader has. Messages that are no report (the answers to PING
 * and to SUBSCRIBE) are passed over.
 * @return 0 when the bytes are not Redis's protocol: the connection is of no more use
 */
int mod_relay_changes_read(redisReader *reader, const mod_relay_changes *to);

#endif
