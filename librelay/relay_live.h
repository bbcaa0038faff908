/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * One entry of `live:<relay>`: the session that listens on an address, as JSON. rlyd writes it, rly
 * and a restarted rlyd read it. Needs jansson; httpd and relay-authkeys do not load it.
 */
#ifndef RELAY_LIVE_H
#define RELAY_LIVE_H

#include "relay.h"

typedef struct relay_live {
    const char *tunnel;   /* NULL in what is no entry */
    int pid;              /* of the session's monitor */
    apr_int64_t since_ms; /* by Redis's clock; 0: not known */
    const char *peer;     /* where the device is, ADDRESS:PORT; may be NULL in what was read */
    const char *way;      /* direct, tls or listening: how it came in; as peer */
} relay_live;

/** A buffer of this size holds each entry. */
#define RELAY_LIVE_SIZE 512

/** Writes an entry, whose strings must not be NULL. @return buf; "" if it does not fit or a string
 * is no UTF-8 */
const char *relay_live_print(const relay_live *entry, char *buf, apr_size_t size);

/** Reads an entry, whoever wrote it; what it has not is NULL or 0. Strings come from pool p. */
void relay_live_parse(relay_live *out, const char *text, apr_pool_t *p);

#endif
