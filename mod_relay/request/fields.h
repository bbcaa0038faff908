/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Which fields of a visitor's request are not the visitor's to set, and what of its Connection
 * field means something. Pure functions: any thread, and time and memory are linear in what they
 * are given.
 */
#ifndef MOD_RELAY_FIELDS_H
#define MOD_RELAY_FIELDS_H

#include <apr_tables.h>

/**
 * @return 1 for a field by which some server believes what a proxy in front of it says: where a
 * visitor comes from, who he is, which path, host or scheme he asked for. Case does not matter, nor
 * does `_` for `-`.
 */
int mod_relay_field_is_reserved(const char *name);

/**
 * What remains of a Connection field: close, keep-alive, upgrade, te, trailer, http2-settings, and
 * names of fields that are in the request and not reserved; each once. (mod_proxy removes the
 * fields that it names.)
 * @return value itself where nothing has to go, else made in p; NULL where nothing remains
 */
const char *mod_relay_connection_kept(const char *value, const apr_table_t *fields, apr_pool_t *p);

/**
 * Removes the fields for which unwanted() says so. The table stays the same object.
 * @return how many there were
 */
int mod_relay_fields_drop(apr_table_t *fields, int (*unwanted)(const char *name), apr_pool_t *p);

#endif
