/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The addresses in a device's answer become public ones, for the visitor who asked. The request's
 * thread calls.
 */
#ifndef MOD_RELAY_PUBLIC_H
#define MOD_RELAY_PUBLIC_H

#include "request/request.h"

/**
 * A field of the device's, as the visitor gets it.
 * @return value itself where nothing has to change, else made in the request's pool
 */
const char *mod_relay_public_value(request_rec *r, mod_relay_request *rr, const char *name,
                                   const char *value);

/** All fields of the device's final answer, in r->headers_out. */
void mod_relay_public_fields(request_rec *r, mod_relay_request *rr);

#endif
