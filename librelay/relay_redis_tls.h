/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** TLS for rediss:// and sentinels://, with a hiredis that has it. */
#ifndef RELAY_REDIS_TLS_H
#define RELAY_REDIS_TLS_H

#include "relay_redis_url.h"
#include <hiredis/hiredis.h>

/**
 * Starts TLS on a connection that the caller has just made itself. The server's certificate has to
 * be url->host's own. On a connection that does not block the handshake goes on with what is read
 * and written; a certificate that is refused then ends it.
 * @return APR_SUCCESS; APR_ENOTIMPL where this build's hiredis has no TLS; or APR_EGENERAL with
 * c->errstr
 */
apr_status_t relay_redis_tls(redisContext *c, const relay_redis_url *url);

#endif
