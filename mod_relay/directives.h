/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The directives and what they set. directives.def has the table of them; all that knows a
 * directive by its name is made from there.
 *
 * A server's settings live in the pool of its configuration. They change until check_config has
 * run; from then on any thread may read them.
 */
#ifndef MOD_RELAY_DIRECTIVES_H
#define MOD_RELAY_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

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
 * A server's settings. What was not given is -1 or NULL; mod_relay_server_complete() sets the
 * defaults.
 */
typedef struct mod_relay_server {
#define DIRECTIVE(name, syntax, kind, member, ...) mod_relay_##kind member;
#include "directives.def"
    const char *id;                     /* differs from those of all others */
    apr_array_header_t *hidden_cookies; /* const char *: hide_cookies and all that are known */
    struct mod_relay_realm *realm;      /* these two are set by check_config (realm.c) */
} mod_relay_server;

extern const command_rec mod_relay_directives[];
void *mod_relay_server_create(apr_pool_t *p, server_rec *s);
void *mod_relay_server_merge(apr_pool_t *p, void *base, void *add);

/**
 * Sets what was not given, and checks what depends on relay.conf.
 * @param cooldown [relay] cooldown of the file
 * @return 0 where a setting cannot be used, which is logged
 */
int mod_relay_server_complete(mod_relay_server *conf, apr_interval_time_t cooldown,
                              const char *file, server_rec *s, apr_pool_t *p);

#endif
