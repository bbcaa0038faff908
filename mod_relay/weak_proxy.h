/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_proxy with weak symbols: httpd can load this module without it, and `configtest` then says
 * what is missing instead of naming an undefined symbol. A file that calls a function of mod_proxy
 * includes this instead of <mod_proxy.h>; the function has to stand in the list below.
 */
#ifndef MOD_RELAY_WEAK_PROXY_H
#define MOD_RELAY_WEAK_PROXY_H

#include <mod_proxy.h>

#pragma weak ap_proxy_acquire_connection
#pragma weak ap_proxy_connect_backend
#pragma weak ap_proxy_connection_create_ex
#pragma weak ap_proxy_define_worker
#pragma weak ap_proxy_determine_connection
#pragma weak ap_proxy_initialize_worker
#pragma weak ap_proxy_release_connection
#pragma weak ap_proxy_tunnel_create
#pragma weak ap_proxy_tunnel_run
#pragma weak proxy_hook_pre_request
#pragma weak proxy_run_scheme_handler
#pragma weak proxy_run_section_post_config

#endif
