/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "visitor.h"

#include <apr_portable.h>
#include <http_core.h>
#include <poll.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

apr_socket_t *mod_relay_visitor_socket(const request_rec *r)
{
    conn_rec *c = r->connection;

    return ap_get_conn_socket(c->master ? c->master : c);
}

int mod_relay_visitor_has_left(const request_rec *r)
{
    const conn_rec *c = r->connection;
    struct pollfd visitor = {.events = POLLRDHUP};
    apr_os_sock_t fd;

    /* Over HTTP/2 another thread reads what the visitor sends, and tells this one. */
    if (c->aborted || (c->master && c->master->aborted))
        return 1;
    if (c->master || apr_os_sock_get(&fd, mod_relay_visitor_socket(r)) != APR_SUCCESS)
        return 0;
    visitor.fd = fd;
    return poll(&visitor, 1, 0) > 0;
}
