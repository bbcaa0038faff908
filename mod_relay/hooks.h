/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Where the module hangs into httpd. Each file registers its own hooks; mod_relay.c calls these
 * functions in the order below. httpd keeps that order where two hooks ask for the same place:
 * memory.c's handler runs ahead of that of shares.c, and wire.c's filter
 * above that of head_h2.c.
 */
#ifndef MOD_RELAY_HOOKS_H
#define MOD_RELAY_HOOKS_H

#include <apr_pools.h>

/* The process. */
void mod_relay_setup_register_hooks(apr_pool_t *p);  /* check_config, child_init */
void mod_relay_status_register_hooks(apr_pool_t *p); /* mod_status's status_hook */

/* A connection to the HTTPS port. */
void mod_relay_handoff_register_hooks(apr_pool_t *p);     /* process_connection: ahead of mod_ssl */
void mod_relay_waiting_register_hooks(apr_pool_t *p);     /* child_init: its thread */
void mod_relay_handoff_tls_register_hooks(apr_pool_t *p); /* process_connection: after mod_ssl */
void mod_relay_limits_register_hooks(apr_pool_t *p);      /* pre_connection, a filter */

/* A request. */
void mod_relay_misdirected_register_hooks(apr_pool_t *p); /* process_connection: after mod_ssl;
                                                             post_read_request */
void mod_relay_route_register_hooks(apr_pool_t *p);  /* translate_name, type_checker, handler */
void mod_relay_paths_register_hooks(apr_pool_t *p);  /* fixups */
void mod_relay_memory_register_hooks(apr_pool_t *p); /* handler, mod_proxy's fixups, a filter */
void mod_relay_shared_register_hooks(apr_pool_t *p); /* post_config, child_init, child_status */
void mod_relay_shares_register_hooks(apr_pool_t *p); /* child_init, handler: ahead of mod_proxy's */
void mod_relay_proxy_register_hooks(apr_pool_t *p);  /* mod_proxy's pre_request, request_status */

/* A connection to a device. */
void mod_relay_owner_register_hooks(apr_pool_t *p);   /* pre_connection: ahead of TLS */
void mod_relay_origin_register_hooks(apr_pool_t *p);  /* the same, child_init, mod_proxy's fixups */
void mod_relay_sockets_register_hooks(apr_pool_t *p); /* child_init: its thread */
void mod_relay_wire_register_hooks(apr_pool_t *p);    /* pre_connection, a filter */
void mod_relay_head_register_hooks(apr_pool_t *p);    /* mod_proxy's create_req, a filter */
void mod_relay_chunks_register_hooks(apr_pool_t *p);  /* a filter */
void mod_relay_head_h2_register_hooks(apr_pool_t *p); /* pre_connection, a filter */
void mod_relay_tls_register_hooks(apr_pool_t *p);     /* post_config, pre_connection */
void mod_relay_tls_context_register_hooks(apr_pool_t *p); /* mod_ssl's init_server */
void mod_relay_expect_register_hooks(apr_pool_t *p);      /* mod_proxy's create_req, a filter */
void mod_relay_patience_register_hooks(apr_pool_t *p);    /* pre_connection, create_req, filters */

/* A visitor's body: filters only. */
void mod_relay_upload_register_hooks(apr_pool_t *p);

/* An answer: filters only. */
void mod_relay_answer_register_hooks(apr_pool_t *p);
void mod_relay_interim_register_hooks(apr_pool_t *p);

#endif
