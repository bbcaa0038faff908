/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Finds in the loop where Redis is: asks Sentinel where relay.conf says so, and looks the host's
 * name up. hiredis itself would wait for the resolver.
 */
#ifndef RLYD_GROUND_PLACE_H
#define RLYD_GROUND_PLACE_H

#include "rlyd.h"

typedef struct place place;

/** Hears what was found, once for each place_find(), perhaps from within it. @param address as
 * text; NULL for a Unix socket. @param reason why nothing was found; NULL: place_url() is there */
typedef void place_found_fn(void *arg, const char *address, const char *reason);

place *place_new(rlyd *d, place_found_fn *fn, void *arg);

/** Begins to search, by d->cfg as it is now. The caller sets a deadline, and then forgets. */
void place_find(place *p);

/** Gives a search up: nobody hears of it any more. */
void place_forget(place *p);

/** What was found last; before that, and as a search begins, relay.conf's own. */
const relay_redis_url *place_url(const place *p);

#endif
