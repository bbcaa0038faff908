/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How long a request waits for its device, and for whom. Until the answer begins a device may be
 * silent for RelayBackendTimeout, then for RelayStreamTimeout; nobody waits for a visitor who has
 * left. The request's thread calls.
 */
#ifndef MOD_RELAY_PATIENCE_H
#define MOD_RELAY_PATIENCE_H

#include "request.h"

/** mod_proxy is about to ask the device. */
void mod_relay_patience_begin(request_rec *r, mod_relay_request *rr);

/** The final answer has begun: silence is no fault any more. */
void mod_relay_patience_answered(mod_relay_request *rr);

/** The device has agreed to another protocol (101): the same holds for that. */
void mod_relay_patience_upgraded(mod_relay_request *rr);

/** mod_proxy is done. */
void mod_relay_patience_end(request_rec *r, mod_relay_request *rr);

/** Is silence no fault of this request's? It is none of a gRPC call: the client knows how long one
 * may last, and leaves then. */
int mod_relay_patience_is_endless(const mod_relay_request *rr);
int mod_relay_patience_is_grpc(const request_rec *r);

#endif
