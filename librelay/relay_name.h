/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Names of routes: DNS labels in lower case, and how they stand in a Host header.
 */
#ifndef RELAY_NAME_H
#define RELAY_NAME_H

#include "relay.h"

#define RELAY_NAME_MAX 63
/** Characters of a random name: 24 of base32, 120 bits. */
#define RELAY_NAME_RANDOM_LEN 24

/**
 * Checks a label: 1 to 63 of a-z, 0-9 and inner hyphens, in lower case; no hyphens in the third and
 * fourth place (`xn--` and the like are reserved, RFC 5890).
 * @param len its length; the label need not be terminated
 * @return APR_SUCCESS, or RELAY_EINPUT with *why (p may be NULL when why is)
 */
apr_status_t relay_name_check(const char *label, apr_size_t len, apr_pool_t *p, const char **why);

/** Whether no route ever gets this label (`ssh`, `www`, `api`): other services of the relay may
 * answer there. */
int relay_name_is_reserved(const char *label);

/** A fresh random name from the kernel's generator.
 * @param out at least RELAY_NAME_RANDOM_LEN + 1 bytes
 * @return APR_SUCCESS or the error of the generator */
apr_status_t relay_name_random(char *out);

typedef enum {
    RELAY_HOST_OTHER,  /* not under our domain, or the domain itself: not ours */
    RELAY_HOST_NAME,   /* one valid label under our domain */
    RELAY_HOST_INVALID /* under our domain, but can be no route's name */
} relay_host_kind;

/**
 * Splits a Host header (or an SNI name) into the route's name and our domain. Accepts upper case,
 * one trailing dot and a port; everything else that is not exactly `label.domain` is told apart
 * as above. Allocates nothing, reads at most len bytes, and takes any bytes.
 * @param domain in lower case, without leading or trailing dot
 * @param name out: the label in lower case, terminated; RELAY_NAME_MAX + 1 bytes; only for
 * RELAY_HOST_NAME
 */
relay_host_kind relay_name_from_host(char *name, const char *host, apr_size_t len,
                                     const char *domain);

#endif
