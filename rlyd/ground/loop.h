/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** The event loop: its clock and its timers, memory that is always there, and gates for log lines.
 */
#ifndef RLYD_GROUND_LOOP_H
#define RLYD_GROUND_LOOP_H

#include "rlyd.h"

#include <event2/event.h>

/** Makes d->base. @return 0, or -1 with errno */
int loop_make(rlyd *d);

int64_t now_ms(void);

/** A timer of the loop that calls fn(…, arg) after ms; made once, armed with timer_arm(). */
struct event *timer_new(rlyd *d, event_callback_fn fn, void *arg);
void timer_arm(struct event *timer, int64_t ms);

/** Frees a timer, armed or not; NULL is none. Its own callback may do so, too. */
void timer_free(struct event *timer);

/** The loop's memory runs out only when the host's does: then it ends rlyd with a message. */
void *must_alloc(size_t size);

/** For lines that could come in floods: true at most once in `every` ms for one such gate (start it
 * at 0). */
int gate_open(int64_t *gate, int64_t every);

#endif
