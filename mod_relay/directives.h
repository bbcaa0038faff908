/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The directives and the settings that they make. directives.def is the table; everything that
 * knows a directive by its name is generated from it.
 *
 * A server's settings live in the pool of its configuration. Once check_config has run, nobody
 * changes them, and any thread may read them.
 */
#ifndef MOD_RELAY_DIRECTIVES_H
#define MOD_RELAY_DIRECTIVES_H

#include "mod_relay.h"

/* A member's type, by its directive's kind. */
typedef int mod_relay_flag;
typedef int mod_relay_number;
typedef apr_interval_time_t mod_relay_span;
typedef const char *mod_relay_path;
typedef apr_array_header_t *mod_relay_names; /* of const char * */
typedef struct mod_relay_part {
    int number, percent; /* one of the two, the other is -1 */
} mod_relay_part;

/**
 * A server's settings. A member that was not given is -1 or NULL, until
 * mod_relay_server_complete() sets the defaults.
 */
typedef struct mod_relay_server {
#define DIRECTIVE(name, syntax, kind, member, ...) mod_relay_##kind member;
#include "directives.def"
    /* setup.c sets these in check_config, where the engine or SSH is on: */
    mod_relay_names hidden_cookies; /* hide_cookies, and the names that are known anyway */
    struct mod_relay_realm *realm;
    /* origin.c sets these in child_init: mod_proxy's configuration of the server, and what takes
     * its place for a request. */
    void *proxy_conf, *proxy_conf_for[2];
    int has_domain; /* its ServerName is the domain of the names */
    /* tls.c: mod_ssl's settings for https:// services, and for old ones; NULL without mod_ssl */
    struct ap_conf_vector_t *device_tls[2];
    /* request/limits.c, likewise: */
    int large_heads; /* requests that this server reads first may have fields of 64 kB */
} mod_relay_server;

static inline mod_relay_server *mod_relay_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &relay_module);
}

extern const command_rec mod_relay_directives[];
void *mod_relay_server_create(apr_pool_t *p, server_rec *s);
void *mod_relay_server_merge(apr_pool_t *p, void *base, void *add);

/**
 * Sets the defaults, and checks the settings that depend on relay.conf; check_config.
 * @param file relay.conf, for the log
 * @param cooldown its [relay] cooldown
 * @return 0 if a setting cannot be used; a line in the log says why
 */
int mod_relay_server_complete(mod_relay_server *conf, apr_interval_time_t cooldown,
                              const char *file, server_rec *s, apr_pool_t *p);

#endif
