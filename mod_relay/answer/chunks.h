/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The lines between the chunks of a device's answer, as browsers forgive them: httpd's own reader
 * ends the answer at a line that ends without CR. The request's thread calls.
 */
#ifndef MOD_RELAY_CHUNKS_H
#define MOD_RELAY_CHUNKS_H

#include <httpd.h>

/** @param pr mod_proxy's own request on the device's connection; the head has just been read */
void mod_relay_chunks_follow(request_rec *pr);

#endif
