/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How long a visitor's body for a device may stall: for as long as httpd's `Timeout' says, and not
 * by mod_reqtimeout's measure. The request's thread calls.
 */
#ifndef MOD_RELAY_UPLOAD_H
#define MOD_RELAY_UPLOAD_H

#include "request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_upload_begin(request_rec *r, mod_relay_request *rr);

/** mod_proxy is done. */
void mod_relay_upload_end(mod_relay_request *rr);

#endif
