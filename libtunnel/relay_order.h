/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What somebody asks for who wants a tunnel, in words: it is checked here, whoever asks, before
 * anything is made. Pure; results are in pool p.
 */
#ifndef RELAY_ORDER_H
#define RELAY_ORDER_H

#include "relay_tunnel.h"

/** The words; NULL where nothing is said. */
typedef struct relay_order {
    int nservices;
    const char *const *services;
    int nnames; /* for the first services, in their order; an entry may be NULL: random */
    const char *const *names;
    const char *host, *forwarded, *upgrade;
    int old_tls;
} relay_order;

/** What a refused word is: of which member of the order, and which one of several. */
typedef enum {
    RELAY_ORDER_SERVICE,
    RELAY_ORDER_NAME,
    RELAY_ORDER_NAMES, /* there are more of them than services */
    RELAY_ORDER_HOST,
    RELAY_ORDER_FORWARDED,
    RELAY_ORDER_UPGRADE
} relay_order_word;

typedef struct relay_order_fault {
    relay_order_word word;
    int index; /* of services or names */
    const char *why;
} relay_order_fault;

/**
 * Sets services, names and needs of a request; its other members stay.
 * @return APR_SUCCESS, or RELAY_EINPUT with the fault
 */
apr_status_t relay_order_check(relay_tunnel_request *req, const relay_order *order, apr_pool_t *p,
                               relay_order_fault *fault);

#endif
