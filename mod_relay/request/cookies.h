/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Cookies between visitors and devices. Pure functions: any thread, any text, time and memory
 * linear in what they are given.
 *
 * A visitor's Cookie field is read in two ways. Its pairs are those that his browser meant: cut at
 * `;` (RFC 6265, 4.2 and 5.2). Where a cookie of httpd's own logins must not get through, it is
 * looked for as the strictest of readers would find it: httpd (util_cookies.c) cuts at `;` and at
 * `,`. Quotes mean nothing to either.
 */
#ifndef MOD_RELAY_COOKIES_H
#define MOD_RELAY_COOKIES_H

#include <apr_tables.h>

/* ---- as browsers read them */

/** A pair. Name and value stand in the field and are not ended by 0. */
typedef struct mod_relay_cookie {
    const char *name, *value;
    apr_size_t name_len; /* 0 where there is no `=`: a value without a name (RFC 6265bis, 5.7) */
    apr_size_t value_len;
} mod_relay_cookie;

/**
 * The next pair.
 * @param at where to go on; at first the field
 * @return 0 at the end
 */
int mod_relay_cookie_next(const char **at, mod_relay_cookie *c);

/** 1 if the pair has this name. */
int mod_relay_cookie_is(const mod_relay_cookie *c, const char *name);

/** 1 if the field has a pair of this name and value. */
int mod_relay_cookies_have(const char *field, const char *name, const char *value);

/**
 * The field without the pairs of this name.
 * @return field itself if it has none, "" if nothing is left, else in pool p
 */
const char *mod_relay_cookies_without(const char *field, const char *name, apr_pool_t *p);

/**
 * Each Path that a cookie can have which came with a request for this path: "/", and each directory
 * with and without its slash.
 * @param uri path and query as they were sent
 * @param max at least 3; deeper paths are left out
 * @return how many of paths are set; in pool p. None holds `;` or a control character
 */
int mod_relay_cookie_paths(const char **paths, int max, const char *uri, apr_pool_t *p);

/* ---- as the strictest of readers does */

/** @param names const char *: names, with case; a `*` at the end of one stands for anything */
int mod_relay_cookie_is_hidden(const apr_array_header_t *names, const char *name,
                               apr_size_t length);

/**
 * A visitor's Cookie field without the cookies of these names; what remains is the same byte for
 * byte.
 * @return value itself where it has none of them; NULL where nothing remains; else made in p
 */
const char *mod_relay_cookies_shown(const char *value, const apr_array_header_t *names,
                                    apr_pool_t *p);

/**
 * Takes the Domain attributes out of a device's Set-Cookie field, in place.
 * @return 0 where the cookie has one of the names: the field must not be passed on
 */
int mod_relay_set_cookie_clean(char *value, const apr_array_header_t *names);

#endif
