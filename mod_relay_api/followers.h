/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Calls that wait for events. Each holds a thread of httpd, so all of them together, and those of
 * one token, may have a part of the process's threads only. Any thread may call.
 */
#ifndef RELAY_API_FOLLOWERS_H
#define RELAY_API_FOLLOWERS_H

#include <apr_pools.h>

typedef struct api_followers api_followers;

/** @param threads that the process has; a quarter of them may wait, and an eighth with one token */
apr_status_t api_followers_create(api_followers **out, int threads, apr_pool_t *p);

/** @param token its id, which lives until the end @return whether the call may wait */
int api_followers_begin(api_followers *f, const char *token);
void api_followers_end(api_followers *f, const char *token);

#endif
