/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_proxy's two questions: which worker takes this request (pre_request), and how did it end
 * (request_status)?
 */
#ifndef MOD_RELAY_PROXY_H
#define MOD_RELAY_PROXY_H

/** A sentence on what httpd lacks for reaching devices, or NULL; check_config. */
const char *mod_relay_proxy_missing(void);

#endif
