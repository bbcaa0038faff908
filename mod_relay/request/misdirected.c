/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Over HTTP/2 a connection that was opened for a device's name carries that name alone, and the
 * name comes by no other. A browser would else take one connection for all names of a certificate,
 * and the streams that one device's page holds open would stop the pages of all others. It answers
 * 421 by sending the request once more, body and all, on a connection of the name's own.
 *
 * The connection's name is its SNI. A client that sends none is served, and so is HTTP/1.1, where
 * no browser does this and a connection has one request at a time.
 */

#include "connection.h"
#include "directives.h"
#include "hooks.h"
#include "realm.h"
#include "relay_name.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_ssl.h>

/* A name of a device, known or not, as its label and the domain. */
typedef struct device_name {
    const char *domain; /* NULL: the name is no device's */
    char label[RELAY_NAME_MAX + 1];
} device_name;

static device_name device_of(const server_rec *s, const char *host)
{
    const mod_relay_server *conf = mod_relay_server_of(s);
    device_name found = {NULL, ""};
    const char *domain;

    if (conf->engine != 1)
        return found;
    domain = conf->realm->relay->domain;
    if (relay_name_from_host(found.label, host, strlen(host), domain) == RELAY_HOST_NAME &&
        !relay_name_is_reserved(found.label))
        found.domain = domain;
    return found;
}

static int is_same(const device_name *a, const device_name *b)
{
    if (!a->domain || !b->domain)
        return a->domain == b->domain;
    return strcmp(a->label, b->label) == 0 && strcmp(a->domain, b->domain) == 0;
}

/* mod_ssl has shaken hands, and mod_http2 has not begun: its threads only read what is noted. */
static int process_connection(conn_rec *c)
{
    mod_relay_connection *mine;
    const char *sni;

    if (c->master || (mine = mod_relay_connection_of(c))->sni)
        return DECLINED;
    sni = ap_ssl_var_lookup(c->pool, c->base_server, c, NULL, "SSL_TLS_SNI");
    mine->sni = sni ? apr_pstrdup(c->pool, sni) : "";
    return DECLINED;
}

/* Ahead of all that looks at the request; once for each that a client sends. */
static int post_read_request(request_rec *r)
{
    const conn_rec *master = r->connection->master; /* HTTP/2's connection */
    const mod_relay_connection *of_master;
    device_name asked, opened;
    const char *sni;

    if (!master || !r->hostname ||
        (of_master = ap_get_module_config(master->conn_config, &relay_module)) == NULL)
        return DECLINED;
    sni = of_master->sni;
    if (!sni || !*sni || strcasecmp(sni, r->hostname) == 0)
        return DECLINED;
    asked = device_of(r->server, r->hostname);
    opened = device_of(master->base_server, sni);
    if (is_same(&asked, &opened))
        return DECLINED;
    ap_log_rerror(
        APLOG_MARK, APLOG_DEBUG, 0, r,
        "RLY139 a request for `%s' came on the HTTP/2 connection of `%s', and is sent back",
        r->hostname, sni);
    return HTTP_MISDIRECTED_REQUEST;
}

void mod_relay_misdirected_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_ssl.c", NULL}, *const after[] = {"mod_http2.c", NULL};

    ap_hook_process_connection(process_connection, before, after, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(post_read_request, NULL, NULL, APR_HOOK_FIRST);
}
