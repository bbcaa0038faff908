/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_connect.h"
#include "relay_print.h"
#include "relay_service.h"

#include <string.h>

const char *relay_connect_url(const relay_config *cfg, const relay_tunnel_route *route,
                              apr_pool_t *p)
{
    const char *end = strstr(route->service, "://");

    if (!end ||
        !relay_scheme_is_web(apr_pstrmemdup(p, route->service, (apr_size_t)(end - route->service))))
        return NULL;
    if (cfg->https_port == 443)
        return apr_pstrcat(p, "https://", route->name, ".", cfg->domain, "/", NULL);
    return apr_psprintf(p, "https://%s.%s:%d/", route->name, cfg->domain, cfg->https_port);
}

const char *relay_connect_forward(const relay_tunnel_route *route, const char *between,
                                  apr_pool_t *p)
{
    relay_service *service;

    if (relay_service_parse(&service, route->service, p, NULL) != APR_SUCCESS)
        return NULL;
    return apr_pstrcat(p, relay_listen_addr_print(route->listen, p), between, service->target,
                       NULL);
}

const char *relay_connect_note(const char *text, const char *host, apr_pool_t *p)
{
    relay_service *service;

    if (relay_service_parse(&service, text, p, NULL) != APR_SUCCESS)
        return NULL;
    if (strchr(service->host, ':'))
        return apr_psprintf(p,
                            "%s: dropbear's client cannot forward to an IPv6 address; OpenSSH's "
                            "can. For dropbear open a name that the device looks up to it, like "
                            "%s://localhost:%u",
                            text, service->scheme, service->port);
    if (relay_scheme_is_web(service->scheme) && strcmp(host, "public") == 0 &&
        service->host[strspn(service->host, "0123456789.")] && strcmp(service->host, "localhost"))
        return apr_psprintf(p,
                            "%s: it is asked for by its public name; where it answers to %s alone, "
                            "open it with --host device",
                            text, service->host);
    return NULL;
}

const char *relay_connect_proxy(const relay_config *cfg, apr_pool_t *p)
{
    int v6 = strchr(cfg->ssh_host, ':') != NULL;

    /* relay_config has seen to it that host and domain are names or addresses, and nothing a shell
     * acts on. */
    return apr_psprintf(
        p, "openssl s_client -quiet -verify_quiet -alpn ssh -servername ssh.%s -connect %s%s%s:%d",
        cfg->domain, v6 ? "[" : "", cfg->ssh_host, v6 ? "]" : "", cfg->https_port);
}

int relay_connect_port(const relay_config *cfg, int tls)
{
    return tls ? cfg->https_port : (int)cfg->ssh_port;
}

const char *relay_connect_command(const relay_config *cfg, const relay_tunnel *t, int tls,
                                  apr_pool_t *p)
{
    /* It ends where it cannot listen, so that whatever starts it again can help. */
    const char *command =
        apr_psprintf(p, "ssh -N -o ExitOnForwardFailure=yes -p %d", relay_connect_port(cfg, tls));
    const char *forward;

    if (tls)
        command =
            apr_pstrcat(p, command, " -o ",
                        relay_print_shell(
                            apr_pstrcat(p, "ProxyCommand=", relay_connect_proxy(cfg, p), NULL), p),
                        NULL);
    for (int i = 0; i < t->nroutes; i++)
        if ((forward = relay_connect_forward(&t->routes[i], ":", p)) != NULL)
            command = apr_pstrcat(p, command, " -R ", relay_print_shell(forward, p), NULL);
    return apr_pstrcat(p, command, " ",
                       relay_print_shell(apr_pstrcat(p, cfg->user, "@", cfg->ssh_host, NULL), p),
                       NULL);
}
