/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What people call things and how long things shall live, checked before anything is made. A word
 * that is NULL is all right. @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
#ifndef RELAY_WORDS_H
#define RELAY_WORDS_H

#include "relay.h"

#define RELAY_LABEL_MAX 200

/** A tenant is written as a name is. */
apr_status_t relay_words_tenant(const char *tenant, apr_pool_t *p, const char **why);

/** A label is short, and safe to show. */
apr_status_t relay_words_label(const char *label, apr_pool_t *p, const char **why);

/** @param what that lives: `the token' */
apr_status_t relay_words_ttl(apr_interval_time_t ttl, const char *what, apr_pool_t *p,
                             const char **why);

#endif
