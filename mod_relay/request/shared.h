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
    int row; /* this child's in counts */
    mod_relay_device *devices;
    mod_relay_tally *tally;
    volatile apr_uint32_t *calls; /* for idle connections, so far: a futex */
} mod_relay_shared;

/** @return NULL in a child that has none; it serves without, after a line in the log */
const mod_relay_shared *mod_relay_shared_get(void);

#endif
