/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * URLs in the fields of a request. Those that name the device by its public name become what the
 * device was asked by; all others stay. Pure functions: any thread, any bytes, linear.
 */
#ifndef MOD_RELAY_URLS_H
#define MOD_RELAY_URLS_H

#include <apr_pools.h>

/** What is translated, and into what. */
typedef struct mod_relay_urls {
    const char *name, *domain; /* NAME.domain is the public name; in lower case */
    int tls;                   /* the visitor came by https */
    int port;                  /* that the visitor came to; 0: the scheme's own */
    const char *to;            /* scheme://host[:port] of the device */
} mod_relay_urls;

/**
 * A URL for the device. The public name may have any case, a trailing dot and a port that is the
 * visitor's; http names it only where the visitor came by http, since https is another origin.
 * User and password are dropped.
 * @return url itself where it names another place or none, else made in p
 */
const char *mod_relay_url_to_device(const char *url, const mod_relay_urls *urls, apr_pool_t *p);

/**
 * The field If of WebDAV (RFC 4918, 10.4): the resources that it tags, `<URL> (…)`. What stands in
 * the lists is the device's own.
 * @return value itself where no URL in it changes, else made in p
 */
const char *mod_relay_if_to_device(const char *value, const mod_relay_urls *urls, apr_pool_t *p);

#endif
