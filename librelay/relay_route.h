/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * `route:<name>`: what a request needs to know. All that handles a route's fields stands here: the
 * struct, how it is read, and how a copy of it is kept in one piece of memory. A new field is one
 * line of RELAY_ROUTE_FIELDS; what it means stands in relay_store.h.
 */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "relay_record.h"

/*
 * The fields of the record but v: STRING(field, form, absent) and VALUE(type, field, form, absent).
 * The struct has a member for each, which is read by relay_form_<form>(). A field that is missing
 * or empty is read as the text `absent`; where that is NULL the record is malformed.
 */
#define RELAY_ROUTE_FIELDS(STRING, VALUE) \
    STRING(tunnel, label, NULL) \
    STRING(relay, label, NULL) \
    STRING(scheme, scheme, NULL) \
    STRING(device, text, "") \
    STRING(service, text, "") \
    STRING(owner, label, "") \
    STRING(host, host, "public") \
    STRING(upgrade, protocols, "") \
    VALUE(relay_listen_addr, listen, listen, NULL) \
    VALUE(apr_time_t, expires, time, NULL) \
    VALUE(apr_int64_t, generation, number, "1") \
    VALUE(apr_int64_t, chosen, number, "0") \
    VALUE(int, forwarded, switch, "on") \
    VALUE(int, old_tls, switch, "off")

/* Strings that are made, not read: the name; scheme://listen, which every request needs; and which
 * Host the device is given, "" for the public name. */
#define RELAY_ROUTE_MADE(STRING) \
    STRING(name, , ) \
    STRING(authority, , ) \
    STRING(origin, , )

#define RELAY_ROUTE_STRING(field, form, absent) const char *field;
#define RELAY_ROUTE_VALUE(type, field, form, absent) type field;

/** No string of a route that was read is NULL. */
typedef struct relay_route {
    RELAY_ROUTE_FIELDS(RELAY_ROUTE_STRING, RELAY_ROUTE_VALUE)
    RELAY_ROUTE_MADE(RELAY_ROUTE_STRING)
    apr_interval_time_t lives; /* from the answer on: for a deadline by a monotonic clock; > 0 */
} relay_route;

#undef RELAY_ROUTE_STRING
#undef RELAY_ROUTE_VALUE

/**
 * Looks a route up: one round trip.
 * @param route out, in pool p
 * @param gone out on RELAY_EGONE: `expired` or `closed`
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_EGONE; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_route_find(relay_route *route, relay_store *s, const char *name,
                              const char **gone, apr_pool_t *p, const char **why);

/**
 * Whether a route that was found is one this relay may connect to: it is on this relay, and its
 * listen address is inside the listen space. To be asked before anything connects there, whatever
 * wrote the record.
 * @return APR_SUCCESS, or RELAY_ERECORD with *why
 */
apr_status_t relay_route_check(const relay_route *route, const relay_config *cfg, apr_pool_t *p,
                               const char **why);

/**
 * A route from the reply to HGETALL; `lives` stays 0.
 * @return APR_SUCCESS, or RELAY_ERECORD with *why
 */
apr_status_t relay_route_read(relay_route *route, const redisReply *hash, const char *name,
                              const char *key, apr_pool_t *p, const char **why);

/** A route in one piece of memory, which whoever made it may free at once. */
typedef struct relay_route_packed {
    relay_route route; /* its strings are in text */
    apr_size_t length; /* of text */
    char text[];
} relay_route_packed;

/** How many bytes relay_route_pack() writes. */
apr_size_t relay_route_packed_size(const relay_route *route);

/** Copies a route and its strings. A string that is NULL stays NULL. */
void relay_route_pack(relay_route_packed *to, const relay_route *route);

/** Makes a route of a packed one, with all strings in one piece from pool p. */
void relay_route_unpack(relay_route *route, const relay_route_packed *from, apr_pool_t *p);

#endif
