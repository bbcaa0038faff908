/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whose page asks? A browser shows httpd's login of a person (a cookie, a password, a certificate)
 * whoever made it ask; a token it shows only for who has it. Pure.
 */
#ifndef RELAY_API_ORIGIN_H
#define RELAY_API_ORIGIN_H

/**
 * Whether a request comes from a page of this very host, or from no page. A device's page is
 * another one, though it may be of the same site: cookies' SameSite does not keep it out.
 * @param changes whether the method changes anything: then the browser has to say so
 * @param site Sec-Fetch-Site, or NULL; a page cannot set it
 * @param origin Origin, or NULL; for browsers without Sec-Fetch-Site
 * @param host Host, or NULL
 */
int api_origin_is_own(int changes, const char *site, const char *origin, const char *host);

#endif
