/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Enrolment codes, devices and relays as JSON: what rly prints and the API answers. References are
 * the caller's. A tenant of null is nobody's.
 */
#ifndef RELAY_FLEET_JSON_H
#define RELAY_FLEET_JSON_H

#include "relay_code.h"
#include "relay_device.h"
#include "relay_host.h"

#include <jansson.h>

/** `{"v":1,"id":…,"tenant":…,"label":…,"uses":…,"used":…,"approval":…,"by":…,"created":…,
 * "expires":…}`. @param code a relay_code */
json_t *relay_code_json(const void *code, apr_pool_t *p);

/** `{"v":1,"id":…,"label":…,"tenant":…,"approved":…,"by":…,"from":…,"created":…,"seen":…}`
 * @param device a relay_device */
json_t *relay_device_json(const void *device, apr_pool_t *p);

/**
 * `{"v":1,"name":…,"state":"up|silent","draining":…,"since":…,"by":…,"ssh":…,"sessions":…,
 * "load":…,"versions":…,"heard":…}`
 * @param whole else by, sessions, load and versions are null: how much all tenants use it
 */
json_t *relay_host_json(const relay_host *host, int whole, apr_pool_t *p);

/** `{"v":1,NAME:[…]}`. @param rows array of void *, each of which one() makes JSON */
json_t *relay_rows_json(const char *name, const apr_array_header_t *rows,
                        json_t *(*one)(const void *row, apr_pool_t *p), apr_pool_t *p);

#endif
