/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `gone:<name>` and `gone:<fingerprint>`: why a route or a key is there no more.
 */
#ifndef RELAY_GONE_H
#define RELAY_GONE_H

#include "relay_record.h"

typedef struct relay_gone {
    int closed;         /* somebody ended it; else its time is over */
    const char *tunnel; /* whose it was; NULL if the record has none. Its form is not checked */
} relay_gone;

/** Reads the reply to HGETALL, of which relay_record_check() was asked. The string is in pool p. */
void relay_gone_read(relay_gone *out, const redisReply *hash, apr_pool_t *p);

#endif
