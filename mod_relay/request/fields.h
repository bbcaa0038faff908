/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The fields of a request that are not the visitor's to set, and the words of its Connection field
 * that mean something. Pure functions: any thread, time and memory linear in what they are given.
 */
#ifndef MOD_RELAY_FIELDS_H
#define MOD_RELAY_FIELDS_H

#include <apr_tables.h>

/**
 * @return 1 for a field in which some server expects the word of a proxy in front of it: where a
 * visitor comes from, who he is, which path, host or scheme he asked for. Neither case matters, nor
 * `_` for `-`.
 */
int mod_relay_field_is_reserved(const char *name);

/**
 * A Connection field without the words that mean nothing. These remain, once each: close,
 * keep-alive, upgrade, te, trailer, http2-settings, and the names of fields that are in the request
 * and not reserved. (mod_proxy removes the fields that it names.)
 * @return value itself where nothing has to go, else made in p; NULL where nothing remains
 */
const char *mod_relay_connection_kept(const char *value, const apr_table_t *fields, apr_pool_t *p);

/**
 * Removes the fields for which unwanted() returns 1. The table stays the same object.
 * @return the number of fields removed
 */
int mod_relay_fields_drop(apr_table_t *fields, int (*unwanted)(const char *name), apr_pool_t *p);

#endif
