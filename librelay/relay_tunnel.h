/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tunnels: open, close, extend, look up, and the rules for them. A tunnel is one grant: one key,
 * one lifetime, one relay, one or more routes.
 */
#ifndef RELAY_TUNNEL_H
#define RELAY_TUNNEL_H

#include "relay_actor.h"
#include "relay_handover.h"
#include "relay_needs.h"
#include "relay_page.h"
#include "relay_service.h"
#include "relay_tunnel_record.h"

#define RELAY_TUNNEL_ID_LEN 16
#define RELAY_DEVICE_MAX 200

typedef struct relay_tunnel_route {
    const char *name;
    const char *service; /* URL */
    relay_listen_addr listen;
    relay_handover handover; /* of a tunnel that was just opened */
} relay_tunnel_route;

typedef struct relay_tunnel {
    const char *id;
    const char *device; /* "" if none was given */
    const char *tenant; /* "" for nobody's */
    const char *relay;
    const char *key;             /* fingerprint, SHA256:… */
    const char *state;           /* open, closed or expired */
    const char *by;              /* who opened it */
    apr_time_t created, expires; /* by Redis's clock */
    apr_time_t ended;            /* 0 unless closed */
    relay_needs needs;           /* of each of its services */
    int nroutes;
    relay_tunnel_route *routes;
} relay_tunnel;

typedef struct relay_tunnel_request {
    const char
        *device; /* may be NULL; checked: relay_text_is_plain(), at most RELAY_DEVICE_MAX bytes */
    apr_interval_time_t ttl; /* 0: the configured default */
    const char *name; /* NULL: random. With several services: for the first; the others are random,
                                or from `names` */
    int nservices;
    const relay_service **services;
    const char **names; /* NULL, or one per service (an entry may be NULL: random) and then `name`
                           is not used */
    const char *fingerprint;  /* of the device's key */
    relay_actor actor;        /* who asks */
    const char *tenant;       /* whose it will be; NULL: nobody's */
    const relay_once *once;   /* NULL: asked again it is another tunnel */
    const relay_needs *needs; /* of each service; checked; NULL: RELAY_NEEDS_DEFAULT */
    /* takes names over from other devices; visitors' browsers then forget those */
    int take_over;
} relay_tunnel_request;

/**
 * Opens a tunnel: names, listen addresses, records and the grant, all at once or not at all. Where
 * addresses come back it waits up to 2 s for rlyd's word on which of them are in use, if that is
 * wanting or too old (lua/may_issue.lua). What is not confirmed (relay_store_script()) is closed
 * again, unless it can be asked for again (req->once). In librelay_json.
 * @return APR_SUCCESS; RELAY_EINPUT, RELAY_EREFUSED, RELAY_EUNCONFIRMED or RELAY_EUNREACHABLE with
 *         *why; RELAY_EREUSED where req->once was used for something else
 */
apr_status_t relay_tunnel_open(relay_tunnel **out, relay_store *s, const relay_config *cfg,
                               const relay_tunnel_request *req, apr_pool_t *p, const char **why);

/**
 * Finds a tunnel by its id or the name of one of its routes, also one that has ended less than a
 * day ago.
 * @return APR_SUCCESS; RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_tunnel_find(relay_tunnel **out, relay_store *s, const char *id_or_name,
                               apr_pool_t *p, const char **why);

/** The same by a name alone, though that may be the id of another tunnel. */
apr_status_t relay_tunnel_find_named(relay_tunnel **out, relay_store *s, const char *name,
                                     apr_pool_t *p, const char **why);

/**
 * The same by an id alone, of a tunnel that a tenant may see. Of another tenant's nothing is read
 * but whose it is, as of one that is not there.
 * @param tenant NULL: all of them
 */
apr_status_t relay_tunnel_find_of(relay_tunnel **out, relay_store *s, const char *tenant,
                                  const char *id, apr_pool_t *p, const char **why);

/** The same by a name: the tunnel that has it, or had it last. That a name is or was in use is no
 * secret; whose it was is. */
apr_status_t relay_tunnel_find_named_of(relay_tunnel **out, relay_store *s, const char *tenant,
                                        const char *name, apr_pool_t *p, const char **why);

/**
 * Ends a tunnel now.
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_EGONE when it had ended before; RELAY_ERECORD,
 * RELAY_EUNCONFIRMED or RELAY_EUNREACHABLE; all with *why
 */
apr_status_t relay_tunnel_close(relay_store *s, const relay_config *cfg, const char *id,
                                const relay_actor *actor, apr_pool_t *p, const char **why);

/** Whether a TTL is within relay.conf's limit: the rule that open and extend share.
 * @return APR_SUCCESS, or RELAY_EREFUSED with *why */
apr_status_t relay_tunnel_ttl_check(const relay_config *cfg, apr_interval_time_t ttl, apr_pool_t *p,
                                    const char **why);

/**
 * Sets the end of an open tunnel to ttl from now. Never makes it shorter.
 * @param expires out: the new end
 * @return APR_SUCCESS; RELAY_EREFUSED (over the limit, or shorter than what it has); RELAY_EGONE;
 * RELAY_ENOTFOUND; RELAY_ERECORD, RELAY_EUNCONFIRMED or RELAY_EUNREACHABLE; all with *why
 */
apr_status_t relay_tunnel_extend(relay_store *s, const relay_config *cfg, const char *id,
                                 apr_interval_time_t ttl, const relay_actor *actor,
                                 apr_time_t *expires, apr_pool_t *p, const char **why);

/**
 * All open tunnels, by expiry. A record that cannot be read is left out and reported to the log.
 * @param out array of relay_tunnel *
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_tunnel_list(apr_array_header_t **out, relay_store *s, apr_pool_t *p,
                               const char **why);

/**
 * A page of the open tunnels, by expiry.
 * @param out array of relay_tunnel *; those that cannot be read are left out
 * @return APR_SUCCESS; RELAY_EUNREACHABLE or RELAY_ERECORD with *why
 */
apr_status_t relay_tunnel_page(apr_array_header_t **out, relay_page *page, relay_store *s,
                               apr_pool_t *p, const char **why);

#endif
