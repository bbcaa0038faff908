/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A call that waits for events, while its connection to Redis and its thread are its own. The
 * call's thread.
 */
#ifndef RELAY_API_FOLLOW_H
#define RELAY_API_FOLLOW_H

#include "api.h"
#include "relay_history.h"

/** Seconds that a call may wait: an httpd that is to stop waits for it. */
#define API_FOLLOW_MAX 30

/** @return DECLINED: it may wait, until api_follow_end(); else its answer, that too many do */
int api_follow_begin(api_call *c);
void api_follow_end(api_call *c);

/**
 * Waits for an event behind h->next, of whatever tenant, until that time by relay_clock(), or
 * until httpd stops.
 * @param some out: whether there is one
 * @return APR_SUCCESS; RELAY_EUNREACHABLE with *why, which lives as long as the call
 */
apr_status_t api_follow_next(api_call *c, int *some, const relay_history *h, apr_time_t until,
                             const char **why);

#endif
