/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "servers.h"

/* Needed for connections to addresses of which such a server is not the default. */
static apr_array_header_t *servers;

void mod_relay_ssh_servers_note(server_rec *main_server, apr_pool_t *p)
{
    server_rec *s;

    servers = apr_array_make(p, 2, sizeof(server_rec *));
    for (s = main_server; s; s = s->next)
        if (mod_relay_server_of(s)->ssh == 1)
            APR_ARRAY_PUSH(servers, server_rec *) = s;
}

int mod_relay_ssh_is_on(void)
{
    return servers && servers->nelts;
}

static int serves_address(const server_rec *s, const apr_sockaddr_t *local)
{
    const server_addr_rec *a;

    for (a = s->addrs; a; a = a->next)
        if ((a->host_port == 0 || a->host_port == local->port) &&
            (apr_sockaddr_is_wildcard(a->host_addr) || apr_sockaddr_equal(a->host_addr, local)))
            return 1;
    return 0;
}

const mod_relay_server *mod_relay_ssh_server(const conn_rec *c)
{
    int i;

    if (!mod_relay_ssh_is_on())
        return NULL;
    if (mod_relay_server_of(c->base_server)->ssh == 1)
        return mod_relay_server_of(c->base_server);
    /* Before TLS nobody knows which name-based virtual host is meant. One with RelaySSH on speaks
     * for its address. */
    for (i = 0; i < servers->nelts; i++) {
        const server_rec *s = APR_ARRAY_IDX(servers, i, server_rec *);

        if (s->is_virtual && serves_address(s, c->local_addr))
            return mod_relay_server_of(s);
    }
    return NULL;
}
