/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A connection to Redis in the loop. It makes itself, logs in, and makes itself again when it
 * breaks. Each command has a deadline. One that passes breaks the connection, as the answer could
 * still come at any time.
 */
#ifndef RLYD_GROUND_REDIS_H
#define RLYD_GROUND_REDIS_H

#include "rlyd.h"

#include <hiredis/hiredis.h>

typedef struct redis_link redis_link;

/** Hears the answer. r is NULL when none came or Redis refused. It is freed afterwards, and may
 * have any form: see reply.h. id is the caller's. */
typedef void redis_answer_fn(rlyd *d, redisReply *r, uint64_t id);

/** Hears each time that the connection has been made and Redis serves. */
typedef void redis_ready_fn(rlyd *d);

/** @param name for the log. @param report whether this link logs that Redis went and came back */
redis_link *redis_link_open(rlyd *d, const char *name, int report, redis_ready_fn *ready);

/** Breaks the connection and makes it again, with d->cfg as it is now. */
void redis_link_restart(redis_link *link);

int redis_link_is_ready(const redis_link *link);

/** Logs that an answer has a form that the command never answers with. @param gate the caller's,
 * static, 0 at first */
void redis_odd(redis_link *link, int64_t *gate, const char *command);

/**
 * Sends a command; its strings are copied. A NULL among them ends it.
 * @param wait_ms how much longer than others the command may take, as it waits in Redis
 * @param fn called once, later, and never from within this call. NULL: the answer does not matter
 * @return 0; -1 when the link is not ready, and then fn is never called
 */
int redis_send(redis_link *link, int64_t wait_ms, redis_answer_fn *fn, uint64_t id, int argc,
               const char *const *argv);

/** The same, with the words of the command as arguments. */
#define redis_call(link, fn, id, ...) redis_call_waiting(link, 0, fn, id, __VA_ARGS__)
#define redis_call_waiting(link, wait_ms, fn, id, ...) \
    redis_send(link, wait_ms, fn, id, \
               (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)), \
               (const char *const[]){__VA_ARGS__})

#endif
