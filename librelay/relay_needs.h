/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a service needs the relay to do otherwise than by default, as `rly open` takes it and the
 * records have it: which Host the device is given, whether it is told who visits, which protocols
 * besides WebSocket it may switch to, and whether its TLS is an old one. Each value is checked
 * where it is written and where it is read. Strings that are results come from pool p.
 */
#ifndef RELAY_NEEDS_H
#define RELAY_NEEDS_H

#include "relay.h"

/** The two words that are no names of hosts. */
#define RELAY_HOST_PUBLIC "public"
#define RELAY_HOST_DEVICE "device"

/** Bytes of the names of protocols, with the spaces between them. */
#define RELAY_UPGRADE_MAX 100

typedef struct relay_needs {
    const char *host;    /* RELAY_HOST_PUBLIC: the public name; RELAY_HOST_DEVICE: as the service's
                            URL has it; else the host itself, with a port where one was given */
    int forwarded;       /* X-Forwarded-For and the like go to the device */
    const char *upgrade; /* names of protocols, lower case, separated by one space; "" for none */
    int old_tls;         /* https:// services: what old devices' TLS needs */
} relay_needs;

/** What holds where nothing is said. */
#define RELAY_NEEDS_DEFAULT \
    { \
        RELAY_HOST_PUBLIC, 1, "", 0 \
    }

/** `public', `device', or a host with or without a port; in lower case then.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why */
apr_status_t relay_needs_host_parse(const char **out, const char *text, apr_pool_t *p,
                                    const char **why);

/** `on' or `off'. @return APR_SUCCESS, or RELAY_EINPUT with *why */
apr_status_t relay_needs_switch_parse(int *out, const char *text, apr_pool_t *p, const char **why);

/** Names of protocols, separated by commas or spaces. Those that would let a visitor past httpd
 * (h2c, HTTP, TLS) are refused. @return APR_SUCCESS, or RELAY_EINPUT with *why */
apr_status_t relay_needs_upgrade_parse(const char **out, const char *text, apr_pool_t *p,
                                       const char **why);

#endif
