/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/** Who has sent a request: is he still there? A request's thread calls, of its own request. */
#ifndef MOD_RELAY_VISITOR_H
#define MOD_RELAY_VISITOR_H

#include <httpd.h>

/** The socket of his connection; over HTTP/2 all of his requests have the same one. */
apr_socket_t *mod_relay_visitor_socket(const request_rec *r);

int mod_relay_visitor_has_left(const request_rec *r);

#endif
