/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The fleet's part of the way over the API: enrolment codes, devices, relays and events. Each
 * function is the one of that name in ../way.h.
 */
#ifndef RLY_API_WAY_FLEET_H
#define RLY_API_WAY_FLEET_H

#include "way.h"

apr_status_t rly_fleet_code_make(relay_code *c, const char **text, rly *r, relay_code_request *req,
                                 const char **why);
apr_status_t rly_fleet_code_list(apr_array_header_t **out, rly *r, const char *tenant,
                                 const char **why);
apr_status_t rly_fleet_code_revoke(rly *r, const char *id, const char **why);

apr_status_t rly_fleet_device_list(apr_array_header_t **out, rly *r, const char *tenant,
                                   const char **why);
apr_status_t rly_fleet_device_find(relay_device **out, rly *r, const char *id, const char **why);
apr_status_t rly_fleet_device_alter(rly *r, const char *id, const relay_device_change *change,
                                    const char **why);
apr_status_t rly_fleet_device_remove(rly *r, const char *id, const char **why);

apr_status_t rly_fleet_relay_list(apr_array_header_t **out, rly *r, const char **why);
apr_status_t rly_fleet_relay_drain(rly *r, const char *name, int draining, const char **why);

apr_status_t rly_fleet_events(rly *r, relay_history *h, int follow, apr_pool_t *p,
                              const char **why);

#endif
