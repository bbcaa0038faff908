/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a device's connection has had over HTTP/2.
 */
#ifndef MOD_RELAY_HEAD_H2_H
#define MOD_RELAY_HEAD_H2_H

#include "frames.h"

#include <util_filter.h>

/** The frames that the filters of a connection to a device have seen, from `chain` on, or NULL;
 * they live as long as the connection. The request's thread. */
const mod_relay_frames *mod_relay_head_h2_frames(const ap_filter_t *chain);

#endif
