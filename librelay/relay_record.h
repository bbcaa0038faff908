/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What all records have in common: a hash with the field `v`, and forms that the other fields have.
 * Each record has a file of its own that reads it by these functions: relay_route, relay_grant,
 * relay_gone, relay_tunnel_record.
 *
 * A `hash` is Redis's reply to HGETALL. Nothing is presumed of its form: the server may be no
 * Redis.
 */
#ifndef RELAY_RECORD_H
#define RELAY_RECORD_H

#include "relay_store.h"

/**
 * Reads one record: one round trip.
 * @param hash out: not empty, and of a version that is known; to be freed with freeReplyObject()
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_record_load(redisReply **hash, relay_store *s, const char *key, apr_pool_t *p,
                               const char **why);

/** What relay_record_load() asks of a reply, for one that came by relay_store_read().
 * @return as that */
apr_status_t relay_record_check(const redisReply *reply, relay_store *s, const char *key,
                                apr_pool_t *p, const char **why);

/** Checks the field `v` alone. @return APR_SUCCESS, or RELAY_ERECORD with *why */
apr_status_t relay_record_version(const redisReply *hash, const char *key, apr_pool_t *p,
                                  const char **why);

/** The value of a field, which lives as long as the reply; NULL if there is none, or if it holds a
 * NUL byte. */
const char *relay_record_field(const redisReply *hash, const char *field);

/** Says that a field is missing or has not its form. @return RELAY_ERECORD */
apr_status_t relay_record_malformed(const char *key, const char *field, apr_pool_t *p,
                                    const char **why);

/*
 * The forms. Each takes a field's text, which may be NULL, and returns whether it has the form;
 * *out is untouched if not. Strings come from pool p.
 */

/** An id or a label (relay_name_check()): it ends up in logs and environments. */
int relay_form_label(const char **out, const char *text, apr_pool_t *p);

/** Text without control characters. */
int relay_form_text(const char **out, const char *text, apr_pool_t *p);

/** A scheme that relay_scheme_is_known(). */
int relay_form_scheme(const char **out, const char *text, apr_pool_t *p);

/** A listen address. */
int relay_form_listen(relay_listen_addr *out, const char *text, apr_pool_t *p);

/** Milliseconds since 1970: relay_time_parse(). */
int relay_form_time(apr_time_t *out, const char *text, apr_pool_t *p);

/** Which Host a device is given: relay_needs_host_parse(). */
int relay_form_host(const char **out, const char *text, apr_pool_t *p);

/** Names of protocols: relay_needs_upgrade_parse(). */
int relay_form_protocols(const char **out, const char *text, apr_pool_t *p);

/** `on' or `off'. */
int relay_form_switch(int *out, const char *text, apr_pool_t *p);

/** A number of at most nine digits. */
int relay_form_number(apr_int64_t *out, const char *text, apr_pool_t *p);

/** Digits only, and no more of them than `digits`. Needs no pool. */
int relay_number_parse(apr_int64_t *out, const char *text, apr_size_t digits);

/** Milliseconds since 1970, as records and the scripts' answers have them: 1 to 15 digits. */
int relay_time_parse(apr_time_t *out, const char *ms);

#endif
