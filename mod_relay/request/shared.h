/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The memory that all processes of httpd share: what each tunnel and each device holds at this
 * moment, and what has been learnt of devices. The parent makes it once; it outlives restarts, so
 * that what an older generation's children hold counts as well. A child's share of all counts ends
 * with the child, in whatever way that ends.
 */
#ifndef MOD_RELAY_SHARED_H
#define MOD_RELAY_SHARED_H

#include "counts.h"
#include "devices.h"

/** Numbers for people, each from httpd's start on; written by apr_atomic. */
typedef struct mod_relay_tally {
    volatile apr_uint32_t refused; /* requests, by RelayTunnelThreads */
    volatile apr_uint32_t waited;  /* requests, for their turn */
    volatile apr_uint32_t crowded; /* requests that were given up for that */
} mod_relay_tally;

typedef struct mod_relay_shared {
    mod_relay_counts *counts;
    mod_relay_device *devices;
    mod_relay_tally *tally;
} mod_relay_shared;

/** @return NULL in a child that has none; it serves without, after a line in the log. The functions
 * below are for one that has. */
const mod_relay_shared *mod_relay_shared_get(void);

/** Counts, in this child's part (mod_relay_counts_take(), mod_relay_counts_give()). */
mod_relay_taken mod_relay_shared_take(const char *key, unsigned limit, unsigned *cell);
void mod_relay_shared_give(unsigned cell);

/** Calls all children, whose threads wait in await(). */
void mod_relay_shared_call(void);

/** The number of calls so far. */
apr_uint32_t mod_relay_shared_calls(void);

/** Waits until there was another call than these; it may come back without one. */
void mod_relay_shared_await(apr_uint32_t calls);

#endif
