/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Which API, and with which token: rly.conf. Each section of it is one API:
 *
 *   [bern]
 *   url    = https://api.relay.example.com
 *   token  = relay_…
 *   cacert = /etc/ssl/our-ca.pem      ; only where the system does not know who signs
 *
 * A token goes to the URL that stands beside it, and nowhere else.
 */
#ifndef RLY_API_PLACE_H
#define RLY_API_PLACE_H

#include "relay.h"

typedef struct rly_place {
    const char *url;    /* https://HOST[:PORT] */
    const char *token;  /* in the form of one */
    const char *cacert; /* NULL: the system's */
    const char *file;   /* where that stands */
} rly_place;

/** ~/.config/relay/rly.conf. @return NULL where there is no home */
const char *rly_place_file(apr_pool_t *p);

/** `https://HOST[:PORT]', in lower case and without a `/' behind it.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why */
apr_status_t rly_place_url(const char **out, const char *text, apr_pool_t *p, const char **why);

/**
 * Looks an API up. A file that others than its owner can read or write is not used, nor one that is
 * neither the user's nor root's.
 * @param url as rly_place_url() returns it; NULL: the first one of the file
 * @return APR_SUCCESS; RELAY_ENOTFOUND: there is no file, or none of that URL; RELAY_EREFUSED or
 * RELAY_EINPUT; with *why
 */
apr_status_t rly_place_find(rly_place *out, const char *file, const char *url, apr_pool_t *p,
                            const char **why);

#endif
