/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "loop.h"

#include <stdlib.h>
#include <time.h>

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void out_of_memory(void)
{
    relay_log(RELAY_LOG_ERR, "RLY400 out of memory");
    abort();
}

void *must_alloc(size_t size)
{
    void *mem = malloc(size ? size : 1);

    if (!mem)
        out_of_memory();
    return mem;
}

struct event *timer_new(rlyd *d, event_callback_fn fn, void *arg)
{
    struct event *timer = evtimer_new(d->base, fn, arg);

    if (!timer)
        out_of_memory();
    return timer;
}

void timer_arm(struct event *timer, int64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(timer, &tv);
}

void timer_free(struct event *timer)
{
    if (timer)
        event_free(timer);
}

int gate_open(int64_t *gate, int64_t every)
{
    int64_t now = now_ms();

    if (*gate && now - *gate < every)
        return 0;
    *gate = now;
    return 1;
}

static void log_from_libevent(int severity, const char *text)
{
    if (severity >= EVENT_LOG_WARN)
        relay_log(RELAY_LOG_ERR, "RLY455 libevent: %s", text);
}

int loop_make(rlyd *d)
{
    struct event_config *config = event_config_new();

    event_set_log_callback(log_from_libevent);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    d->base = event_base_new_with_config(config);
    event_config_free(config);
    return d->base ? 0 : -1;
}
