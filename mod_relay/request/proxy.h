/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_proxy's two questions: who takes this request (pre_request), and what came of it
 * (request_status).
 */
#ifndef MOD_RELAY_PROXY_H
#define MOD_RELAY_PROXY_H

/** What httpd lacks for reaching devices, as a sentence, or NULL; check_config. */
const char *mod_relay_proxy_missing(void);

#endif
