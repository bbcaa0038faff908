/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What was done, page by page: the stream `events`, as a tenant may see it (lua/events.lua).
 */
#ifndef RELAY_HISTORY_H
#define RELAY_HISTORY_H

#include "relay_store.h"

#include <apr_tables.h>

/** One event. Of its texts no terminal acts on anything (relay_print_clean()). */
typedef struct relay_happened {
    const char *id;       /* of the stream: MS-NUMBER, rising */
    apr_time_t at;        /* by Redis's clock */
    const char *tenant;   /* whose it is; "" for nobody's */
    const char *what;     /* open, close, up …: relay_store.h has them */
    const char *tunnel;   /* "" if it is about none */
    const char *relay;    /* where */
    const char *by;       /* who did it */
    const char *from;     /* his address, and */
    const char *request;  /* the request's id, where he came by the API; else "" */
    apr_table_t *details; /* what else is said: device, peer, why … */
} relay_happened;

typedef struct relay_history {
    const char *tenant; /* only those of this one; NULL: of all */
    const char *since;  /* those behind the event with this id; NULL: the latest ones */
    int count;          /* at most; 1 to RELAY_HISTORY_MAX */
    /* results: */
    apr_array_header_t *events; /* of relay_happened *, the oldest first */
    const char *next;           /* since of the next page: there always is one, later */
    int more;                   /* there are some already */
} relay_history;

#define RELAY_HISTORY_MAX 256

/** Whether text can be `since`: MS-NUMBER, or MS alone. */
int relay_history_is_place(const char *text);

/** Which of two places is before the other one: -1, 0 or 1, as strcmp(). */
int relay_history_compare(const char *a, const char *b);

/** Reads a page. Where a tenant has few events it may be empty though there are more.
 * @return APR_SUCCESS; RELAY_EUNREACHABLE or RELAY_ERECORD with *why */
apr_status_t relay_history_read(relay_history *h, relay_store *s, apr_pool_t *p, const char **why);

/**
 * Waits until there is an event behind h->next, of whatever tenant.
 * @param goes_on asked before each wait in Redis, which takes less than [redis] timeout: whether to
 * wait; NULL: for ever
 * @param some out: whether there is one
 * @return APR_SUCCESS; RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_history_follow(int *some, const relay_history *h, relay_store *s,
                                  int (*goes_on)(void *baton), void *baton, apr_pool_t *p,
                                  const char **why);

#endif
