/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `key:<fingerprint>`: what a key may do.
 */
#ifndef RELAY_GRANT_H
#define RELAY_GRANT_H

#include "relay_record.h"

typedef struct relay_grant {
    const char *tunnel;
    const char *relay;
    apr_time_t expires;
    int naddrs; /* at least one in a grant that was found */
    const relay_listen_addr *addrs;
} relay_grant;

/** Whether the text has the form of an OpenSSH SHA256 fingerprint: `SHA256:` and 43 characters of
 * base64. */
int relay_fingerprint_is_valid(const char *text);

/**
 * Looks up what a key may do: one round trip.
 * @param grant out, in pool p
 * @param fingerprint what is none is RELAY_ENOTFOUND
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_grant_find(relay_grant *grant, relay_store *s, const char *fingerprint,
                              apr_pool_t *p, const char **why);

/**
 * Why a key that relay_grant_find() did not find is not there, for the log: one round trip.
 * @param tunnel out: the tunnel that had the key; its form is not checked
 * @param closed out: 1 its tunnel was closed, 0 its time is over
 * @return APR_SUCCESS; RELAY_ENOTFOUND: nothing is known of it; RELAY_ERECORD or RELAY_EUNREACHABLE
 * with *why
 */
apr_status_t relay_grant_ended(const char **tunnel, int *closed, relay_store *s,
                               const char *fingerprint, apr_pool_t *p, const char **why);

#endif
