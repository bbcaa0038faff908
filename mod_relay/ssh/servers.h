/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The servers with RelaySSH on. A connection belongs to one of them by its address, before the
 * client has said anything.
 */
#ifndef MOD_RELAY_SSH_SERVERS_H
#define MOD_RELAY_SSH_SERVERS_H

#include "directives.h"

/** Notes the servers; check_config, after the merge. */
void mod_relay_ssh_servers_note(server_rec *main_server, apr_pool_t *p);

/** 1 if there are any; from check_config on. */
int mod_relay_ssh_is_on(void);

/** The settings of the server that takes SSH at the address to which a connection came, or NULL.
 * Any thread. */
const mod_relay_server *mod_relay_ssh_server(const conn_rec *c);

#endif
