/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_proxy, all of whose symbols are weak here: httpd can load this module without it, and
 * `configtest` says what is missing instead of naming an undefined symbol. Include this instead of
 * <mod_proxy.h> where a function of mod_proxy's is called.
 */
#ifndef MOD_RELAY_WEAK_PROXY_H
#define MOD_RELAY_WEAK_PROXY_H

#include <mod_proxy.h>

#pragma weak ap_proxy_define_worker
#pragma weak ap_proxy_initialize_worker
#pragma weak ap_proxy_tunnel_create
#pragma weak ap_proxy_tunnel_run
#pragma weak proxy_hook_pre_request
#pragma weak proxy_run_scheme_handler

#endif
