/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tunnels as JSON: what rly prints and the API answers. References are the caller's.
 */
#ifndef RELAY_TUNNEL_JSON_H
#define RELAY_TUNNEL_JSON_H

#include "relay_config.h"
#include "relay_links.h"

#include <jansson.h>

/** A string of JSON that is valid, whatever bytes a record holds; null for NULL. */
json_t *relay_json_text(const char *text, apr_pool_t *p);

/** `2026-11-20T21:05:00Z`; null for 0. */
json_t *relay_json_time(apr_time_t t, apr_pool_t *p);

/** Route i: `{"name":…,"url":…,"service":…,"listen":…,"host":…,"forwarded":…,"upgrade":[…],
 * "old_tls":…}` */
json_t *relay_route_json(const relay_config *cfg, const relay_tunnel *t, int i, apr_pool_t *p);

/** The object that `rly show --json` prints; `list --json` prints an array of them. */
json_t *relay_tunnel_json(const relay_config *cfg, const relay_links *links, const relay_tunnel *t,
                          apr_pool_t *p);

/** Adds which relay it is, and where its routes answer: `"relay":…,"domain":…,"https_port":…`. */
void relay_place_json(json_t *json, const relay_config *cfg, apr_pool_t *p);

/**
 * The object that `rly open --json` prints of a tunnel that was just opened.
 * @param command for the device
 * @param tls whether SSH goes inside TLS
 * @param bundle where its bundle is; NULL: there is none
 */
json_t *relay_opened_json(const relay_config *cfg, const relay_tunnel *t, const char *command,
                          int tls, const char *bundle, apr_pool_t *p);

#endif
