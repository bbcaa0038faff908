/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Relays: what their rlyds tell of them with each heartbeat, and whether they are drained.
 */
#ifndef RELAY_HOST_H
#define RELAY_HOST_H

#include "relay_actor.h"
#include "relay_store.h"

#include <apr_tables.h>

typedef struct relay_host {
    const char *name;
    int up;           /* rlyd was heard within the last minute; else the next four are not known */
    const char *ssh;  /* where devices connect; "": not known, as the next two */
    const char *load; /* the host's load average, a number */
    const char *versions; /* of rlyd, of the kernel */
    apr_int64_t sessions; /* -1: not known */
    apr_time_t heard;     /* when rlyd was heard last; 0: not known */
    int draining;         /* placement leaves it out */
    apr_time_t since;     /* that was so decided; 0: never */
    const char *by;       /* who did; "" */
} relay_host;

/**
 * Reads the relays, by their names.
 * @param name of one, or NULL
 * @param out array of relay_host *
 * @return APR_SUCCESS; RELAY_ENOTFOUND: there is none of that name; RELAY_ERECORD or
 * RELAY_EUNREACHABLE; with *why
 */
apr_status_t relay_hosts_read(apr_array_header_t **out, relay_store *s, const char *name,
                              apr_pool_t *p, const char **why);

/** Says that there is none of that name. @return RELAY_ENOTFOUND */
apr_status_t relay_host_none(const char *name, apr_pool_t *p, const char **why);

/**
 * Drains a relay: no tunnel is placed there any more. Or undrains it.
 * @return APR_SUCCESS; RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_host_drain(relay_store *s, const char *name, int draining,
                              const relay_actor *actor, apr_pool_t *p, const char **why);

#endif
