/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Records that are listed: their ids stand in an index (relay_page), and each is read by its own
 * reader. What cannot be used is left out of lists, and the log says so.
 */
#ifndef RELAY_ROWS_H
#define RELAY_ROWS_H

#include "relay_actor.h"
#include "relay_page.h"

#include <apr_tables.h>

/** A kind of records. */
typedef struct relay_rows {
    const char *noun; /* for messages: `token' */
    const char *what; /* RELAY_PAGE_… */
    relay_keyname_kind kind;
    /**
     * Reads a record.
     * @param tenant out: whose it is; RELAY_TENANT_ALL: everybody's
     * @return the row, in pool p; NULL where the record is malformed
     */
    void *(*read)(const char **tenant, const redisReply *hash, apr_pool_t *p);
} relay_rows;

/**
 * A page of them, as relay_page_read().
 * @param out array of void *, the rows
 * @return APR_SUCCESS; RELAY_EUNREACHABLE or RELAY_ERECORD with *why
 */
apr_status_t relay_rows_page(apr_array_header_t **out, const relay_rows *rows, relay_page *page,
                             relay_store *s, apr_pool_t *p, const char **why);

/** All of them. @param tenant only those of this one; NULL: all */
apr_status_t relay_rows_all(apr_array_header_t **out, const relay_rows *rows, const char *tenant,
                            relay_store *s, apr_pool_t *p, const char **why);

/**
 * One of them.
 * @param tenant of another one it is not there; NULL: all
 * @return APR_SUCCESS; RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_rows_one(void **out, const relay_rows *rows, const char *id, const char *tenant,
                            relay_store *s, apr_pool_t *p, const char **why);

/**
 * Takes one away by a script that is told: id, tenant, relay, by, from, request; and answers ok or
 * none.
 * @return APR_SUCCESS; RELAY_ENOTFOUND or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_rows_remove(const relay_rows *rows, relay_script_id script, relay_store *s,
                               const relay_config *cfg, const char *id, const relay_actor *actor,
                               apr_pool_t *p, const char **why);

/** Says that there is none. @return RELAY_ENOTFOUND */
apr_status_t relay_rows_none(const relay_rows *rows, const char *id, apr_pool_t *p,
                             const char **why);

#endif
