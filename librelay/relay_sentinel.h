/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Asks the sentinels of a sentinel:// URL who the primary is, all of them at once. What more than
 * half of them say is taken as soon as they have said it. So a sentinel that is dead, hung or cut
 * off delays nobody, and one that is behind the times leads nobody astray.
 *
 * Sentinels are asked without a login. One that wants a login gets the same as Redis.
 */
#ifndef RELAY_SENTINEL_H
#define RELAY_SENTINEL_H

#include "relay_redis_url.h"

/** Whose word is enough. */
typedef enum {
    RELAY_SENTINEL_ANY,     /* fewer than half, after a moment: the server's own ROLE decides */
    RELAY_SENTINEL_MAJORITY /* more than half, or nobody's */
} relay_sentinel_need;

/**
 * Asks, and waits for the answer.
 * @param at out, in p: where the primary is, with url's login
 * @param timeout for all of it
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_sentinel_ask(const relay_redis_url **at, const relay_redis_url *url,
                                relay_sentinel_need need, apr_interval_time_t timeout,
                                apr_pool_t *p, const char **why);

/*
 * The same for who may not wait, as rlyd's loop: begin, and then step whenever the descriptor can
 * be read or relay_sentinel_wait() is over, until the answer is another than APR_EAGAIN.
 */

typedef struct relay_sentinel_search relay_sentinel_search;

/**
 * Begins. It does not wait.
 * @param p owns the search; its clean-up ends it
 * @return APR_SUCCESS, or an error of the system with *why
 */
apr_status_t relay_sentinel_begin(relay_sentinel_search **out, const relay_redis_url *url,
                                  relay_sentinel_need need, apr_interval_time_t timeout,
                                  apr_pool_t *p, const char **why);

/** A descriptor that can be read when there is something to do. */
int relay_sentinel_fd(const relay_sentinel_search *s);

/** How long the next step may be put off. */
apr_interval_time_t relay_sentinel_wait(const relay_sentinel_search *s);

/** Goes on. @return APR_EAGAIN, or as relay_sentinel_ask(); the search has ended then */
apr_status_t relay_sentinel_step(relay_sentinel_search *s, const relay_redis_url **at,
                                 apr_pool_t *p, const char **why);

/** Ends a search before its time, or once more. */
void relay_sentinel_end(relay_sentinel_search *s);

#endif
