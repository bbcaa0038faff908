/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The module's own record of a visitor's connection (conn_config); over HTTP/2 each stream has one
 * of its own. It lives in the connection's pool, and only the thread that has the connection
 * touches it. The file that is named at a member writes it.
 */
#ifndef MOD_RELAY_CONNECTION_H
#define MOD_RELAY_CONNECTION_H

#include "mod_relay.h"

typedef struct mod_relay_connection {
    int not_ssh;                       /* handoff.c: its first bytes are no SSH */
    int negotiated_ssh;                /* handoff_tls.c: ALPN said ssh */
    const char *sni;                   /* misdirected.c: "" where there is none; NULL: not known */
    struct mod_relay_pins *pins;       /* pinned.c: backends of this visitor's own, or NULL */
    struct mod_relay_interim *interim; /* interim.c: of its filter, or NULL */
} mod_relay_connection;

/** Makes it at the first call. */
static inline mod_relay_connection *mod_relay_connection_of(conn_rec *c)
{
    mod_relay_connection *mine = ap_get_module_config(c->conn_config, &relay_module);

    if (!mine) {
        mine = apr_pcalloc(c->pool, sizeof(*mine));
        ap_set_module_config(c->conn_config, &relay_module, mine);
    }
    return mine;
}

#endif
