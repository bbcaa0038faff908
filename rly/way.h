/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The two ways to tunnels, tokens and the fleet: Redis itself (way_redis.c), and the API
 * (api/way_api.c). Both give the same structs, so that a command prints the same either way. All
 * functions return what librelay's do, with *why; results live as long as r->p.
 */
#ifndef RLY_WAY_H
#define RLY_WAY_H

#include "rly.h"
#include "relay_code.h"
#include "relay_device.h"
#include "relay_history.h"
#include "relay_host.h"
#include "relay_key.h"
#include "relay_links.h"
#include "relay_order.h"
#include "relay_token.h"

/** How a tunnel is looked up. Names are those that it has, or had last. */
typedef enum { RLY_BY_ID_OR_NAME, RLY_BY_NAME, RLY_BY_KEY } rly_by;

/** What `rly open' asks for, and what it gets besides the tunnel. */
typedef struct rly_wish {
    const relay_order *order; /* as it was said */
    relay_tunnel_request req; /* the same, checked */
    const relay_key *key;
    int tls;                      /* SSH inside TLS */
    apr_array_header_t *hostkeys; /* out: const char *, `type base64` */
    apr_array_header_t *notes;    /* out: const char *; NULL: the tunnel tells by itself */
} rly_wish;

typedef struct rly_way {
    /** Makes r->cfg's domain known. */
    apr_status_t (*learn_domain)(rly *r, const char **why);
    apr_status_t (*find)(relay_tunnel **out, rly *r, rly_by by, const char *what, const char **why);
    /** The open tunnels with that device. */
    apr_status_t (*with_device)(apr_array_header_t **out, rly *r, const char *device,
                                const char **why);
    /** All open tunnels. */
    apr_status_t (*list)(apr_array_header_t **out, rly *r, const char **why);
    /** Which of them are connected, and, unless it is NULL, the time that their times go by. */
    apr_status_t (*links)(relay_links **out, apr_time_t *now, rly *r,
                          const apr_array_header_t *tunnels, const char **why);
    /** Gets what a bundle needs, where that is known before a tunnel is open. */
    apr_status_t (*prepare)(rly *r, rly_wish *wish, const char **why);
    apr_status_t (*open)(relay_tunnel **out, rly *r, rly_wish *wish, const char **why);
    apr_status_t (*close)(rly *r, const relay_tunnel *t, const char **why);
    apr_status_t (*extend)(rly *r, const relay_tunnel *t, apr_interval_time_t ttl,
                           apr_time_t *expires, const char **why);
    apr_status_t (*token_make)(relay_token *t, const char **text, rly *r, relay_token_request *req,
                               const char **why);
    apr_status_t (*token_list)(apr_array_header_t **out, rly *r, const char *tenant,
                               const char **why);
    apr_status_t (*token_revoke)(apr_array_header_t **ids, rly *r, const char *id,
                                 const char **why);
    apr_status_t (*code_make)(relay_code *c, const char **text, rly *r, relay_code_request *req,
                              const char **why);
    apr_status_t (*code_list)(apr_array_header_t **out, rly *r, const char *tenant,
                              const char **why);
    apr_status_t (*code_revoke)(rly *r, const char *id, const char **why);
    apr_status_t (*device_list)(apr_array_header_t **out, rly *r, const char *tenant,
                                const char **why);
    apr_status_t (*device_find)(relay_device **out, rly *r, const char *id, const char **why);
    apr_status_t (*device_alter)(rly *r, const char *id, const relay_device_change *change,
                                 const char **why);
    apr_status_t (*device_remove)(rly *r, const char *id, const char **why);
    apr_status_t (*relay_list)(apr_array_header_t **out, rly *r, const char **why);
    apr_status_t (*relay_drain)(rly *r, const char *name, int draining, const char **why);
    /** A page of events, as relay_history_read(). @param follow where there are none it waits for
     * some; there may be none yet when it returns @param p of the results and *why */
    apr_status_t (*events)(rly *r, relay_history *h, int follow, apr_pool_t *p, const char **why);
} rly_way;

extern const rly_way rly_way_redis;

/** Those of some tunnels that have this device; "" is none. */
apr_array_header_t *rly_of_device(const apr_array_header_t *tunnels, const char *device,
                                  apr_pool_t *p);

#endif
