/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a device's connection has had over HTTP/2.
 */
#ifndef MOD_RELAY_HEAD_H2_H
#define MOD_RELAY_HEAD_H2_H

#include "frames.h"

#include <httpd.h>

/**
 * A new connection to a device that is spoken to in HTTP/2: its frames are followed from here on,
 * below the filters that it has.
 * @return what it has had; lives as long as the connection. The request's thread.
 */
const mod_relay_frames *mod_relay_head_h2_follow(conn_rec *c);

#endif
