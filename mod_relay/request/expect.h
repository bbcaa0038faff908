/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Expect: 100-continue, for devices that do not know it: the visitor is told to go on after a
 * second. The request's thread calls.
 */
#ifndef MOD_RELAY_EXPECT_H
#define MOD_RELAY_EXPECT_H

#include "request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_expect_begin(request_rec *r, const mod_relay_request *rr);

#endif
