/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Pages of a list that may be long: the ids of open tunnels, of tokens or codes, by their ends, or
 * of devices, the oldest first (lua/page.lua). However long the list is, a page costs about the
 * same.
 */
#ifndef RELAY_PAGE_H
#define RELAY_PAGE_H

#include "relay_store.h"

#define RELAY_PAGE_MAX 256

typedef struct relay_page {
    const char *tenant; /* NULL: of all */
    const char *device; /* tunnels: NULL: any; else only where there is a tenant */
    int count;          /* at most; 1 to RELAY_PAGE_MAX */
    apr_time_t after;   /* where the last page ended: the end (devices: the beginning) */
    const char *id;     /* and the id of its last one; NULL: the first page */
    /* results: */
    int nids;
    const char *ids[RELAY_PAGE_MAX];
    int more; /* there is a next page; after and id say where it begins */
} relay_page;

/** What is paged. */
#define RELAY_PAGE_TUNNELS "tunnels"
#define RELAY_PAGE_TOKENS "tokens"
#define RELAY_PAGE_CODES "codes"
#define RELAY_PAGE_DEVICES "devices"

/** @return APR_SUCCESS; RELAY_EUNREACHABLE or RELAY_ERECORD with *why */
apr_status_t relay_page_read(relay_page *page, relay_store *s, const char *what, apr_pool_t *p,
                             const char **why);

#endif
