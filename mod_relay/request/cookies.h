/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Cookies between visitors and devices: those of httpd's own logins stay here, in both directions,
 * and a device's are for its own name. Pure functions: any thread, time and memory linear in what
 * they are given.
 *
 * Cookies are cut where the strictest of readers cuts them. httpd (util_cookies.c) separates a
 * visitor's by `;` and `,`, browsers (RFC 6265, 5.2) a device's by `;`; quotes mean nothing to
 * either.
 */
#ifndef MOD_RELAY_COOKIES_H
#define MOD_RELAY_COOKIES_H

#include <apr_tables.h>

/** @param names const char *: names, with case; a `*` at the end of one stands for anything */
int mod_relay_cookie_is_hidden(const apr_array_header_t *names, const char *name,
                               apr_size_t length);

/**
 * A visitor's Cookie field without those of the names; what remains is the same byte for byte.
 * @return value itself where it has none; NULL where nothing remains; else made in p
 */
const char *mod_relay_cookies_shown(const char *value, const apr_array_header_t *names,
                                    apr_pool_t *p);

/**
 * Takes the Domain attributes out of a device's Set-Cookie field, in place.
 * @return 0 where the cookie is one of the names: the field must not be passed on
 */
int mod_relay_set_cookie_clean(char *value, const apr_array_header_t *names);

#endif
