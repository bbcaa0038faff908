/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A Cookie header as its pairs, in linear time. Knows nothing of httpd, and takes any text.
 */
#ifndef MOD_RELAY_COOKIE_PAIRS_H
#define MOD_RELAY_COOKIE_PAIRS_H

#include <apr_pools.h>

/** A pair. Name and value stand in the header and are not ended by 0. */
typedef struct mod_relay_cookie {
    const char *name, *value;
    apr_size_t name_len,
        value_len; /* without `=` it is a value whose name is empty (RFC 6265bis, 5.7) */
} mod_relay_cookie;

/**
 * The next pair.
 * @param at where to go on; at first the header
 * @return 0 at the end
 */
int mod_relay_cookie_next(const char **at, mod_relay_cookie *c);

/** Whether a pair has this name. */
int mod_relay_cookie_is(const mod_relay_cookie *c, const char *name);

/** Whether a header has a pair of this name and value. */
int mod_relay_cookies_have(const char *header, const char *name, const char *value);

/**
 * The header without the pairs of this name.
 * @return header itself if it has none, "" if nothing is left, else in pool p
 */
const char *mod_relay_cookies_without(const char *header, const char *name, apr_pool_t *p);

/**
 * All that a cookie can have as Path which came with a request for this path: "/", and each
 * directory with and without its slash.
 * @param uri path and query as they were sent
 * @param max at least 3; deeper paths are left out
 * @return how many of paths are set; in pool p. None holds `;` or a control character
 */
int mod_relay_cookie_paths(const char **paths, int max, const char *uri, apr_pool_t *p);

#endif
