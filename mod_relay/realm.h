/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A realm is one relay.conf as this process sees it: its cache, its watcher, its connections to
 * Redis and to devices. Virtual hosts that name the same file share it. setup.c makes realms from
 * the configuration, in the parent, and brings them to life in each child.
 *
 * Any thread may read a realm. The headers of its parts say which threads may call them.
 */
#ifndef MOD_RELAY_REALM_H
#define MOD_RELAY_REALM_H

#include "directives.h"
#include "relay_config.h"

typedef struct mod_relay_realm {
    const relay_config *relay;
    server_rec *server; /* for the log: the first one that names this relay.conf */
    uid_t user;         /* [relay] user: devices are sockets of his */
    /* only in children, from child_init on: */
    apr_pool_t *pool; /* of the process, with a locked allocator: any thread may make subpools */
    struct mod_relay_cache *cache;
    struct mod_relay_watch *watch;
    struct mod_relay_lookups *lookups;
    struct mod_relay_backends *backends;
    volatile apr_uint32_t owner_warned; /* owner.c's */
} mod_relay_realm;

/** The realms of the running configuration: array of mod_relay_realm *; from check_config on. */
const apr_array_header_t *mod_relay_realms(void);

/* ---- for setup.c, in check_config */

/** Forgets all realms. @param p of the new configuration */
void mod_relay_realms_reset(apr_pool_t *p);

/** The realm of that relay.conf, or NULL. */
mod_relay_realm *mod_relay_realm_find(const char *file);

void mod_relay_realm_add(mod_relay_realm *realm);

#endif
