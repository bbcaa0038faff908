/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tokens: what the API asks of its callers. A token is `relay_ID_SECRET`, with a secret of 260
 * random bits; `token:<id>` in Redis has the SHA-256 of it all, and nobody has the token but who
 * was given it. It says what its holder may do (role), whose tunnels he sees (tenant), and ends.
 */
#ifndef RELAY_TOKEN_H
#define RELAY_TOKEN_H

#include "relay_actor.h"
#include "relay_config.h"
#include "relay_rows.h"
#include "relay_secret.h"

#define RELAY_TOKEN_BEGINS "relay_"
#define RELAY_TOKEN_ID_LEN RELAY_SECRET_ID_LEN
#define RELAY_TOKEN_LEN RELAY_SECRET_LEN(RELAY_TOKEN_BEGINS)

/** The roles, and what each may do: see all of its tenant's; open, extend, close; make tokens. */
#define RELAY_TOKEN_ROLES(ROLE) \
    ROLE(VIEWER, "viewer", RELAY_MAY_READ) \
    ROLE(OPERATOR, "operator", RELAY_MAY_READ | RELAY_MAY_OPEN) \
    ROLE(SUPPORT, "support", RELAY_MAY_READ) \
    ROLE(ADMIN, "admin", RELAY_MAY_READ | RELAY_MAY_OPEN | RELAY_MAY_ADMIN)

#define RELAY_MAY_READ 1
#define RELAY_MAY_OPEN 2
#define RELAY_MAY_ADMIN 4

typedef struct relay_token {
    const char *id;
    const char *role;            /* one of RELAY_TOKEN_ROLES */
    const char *tenant;          /* NULL: all of them */
    const char *label;           /* whose it is, for people; may be "" */
    const char *by;              /* who made it; NULL after relay_token_admit() */
    apr_time_t created, expires; /* by Redis's clock; 0 after relay_token_admit() */
} relay_token;

/** What a role may do; 0 for what is none. */
int relay_token_rights(const char *role);

/** The roles' names, for people: `, viewer, operator, …'. */
extern const char relay_token_roles[];

/**
 * Whether text has a token's form; it need not be terminated.
 * @param id out: RELAY_TOKEN_ID_LEN + 1 bytes
 */
int relay_token_parse(char *id, const char *text, apr_size_t len);

typedef struct relay_token_request {
    const char *role, *tenant, *label; /* as in relay_token; label NULL: "" */
    apr_interval_time_t ttl;
    relay_actor actor;      /* who asks; whose tenant has to be this one is for the caller to see */
    const relay_once *once; /* NULL: asked again it is another token */
} relay_token_request;

/**
 * Makes a token.
 * @param text out: the token itself, which is nowhere else; NULL where it was made before
 * (req->once): then only t->id is set
 * @return APR_SUCCESS; RELAY_EINPUT or RELAY_EREFUSED; RELAY_EREUSED as relay_tunnel_open(); or
 * RELAY_EUNREACHABLE; with *why
 */
apr_status_t relay_token_make(relay_token *t, const char **text, relay_store *s,
                              const relay_config *cfg, const relay_token_request *req,
                              apr_pool_t *p, const char **why);

/**
 * Looks a token up and counts the request: one round trip.
 * @param t out: id, role, tenant, label
 * @param limit requests a minute; 0: no limit
 * @param wait out: with RELAY_EREFUSED, after what time the next request is let in
 * @return APR_SUCCESS; RELAY_ENOTFOUND: there is no such token, or no more; RELAY_EREFUSED: too
 * many requests; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_token_admit(relay_token *t, relay_store *s, const char *text, apr_size_t len,
                               int limit, apr_interval_time_t *wait, apr_pool_t *p,
                               const char **why);

/** They are listed as relay_token *, the one that ends first on top. */
extern const relay_rows relay_token_rows;

/**
 * Counts a request of somebody who needs no token.
 * @param who what he is counted by; not a token's id
 * @return APR_SUCCESS; RELAY_EREFUSED: too many, with *wait as above; or RELAY_EUNREACHABLE with
 * *why
 */
apr_status_t relay_token_count(relay_store *s, const char *who, int limit,
                               apr_interval_time_t *wait, apr_pool_t *p, const char **why);

/**
 * Revokes a token, and those that were made with it.
 * @param ids out: array of const char *, the first of which is id
 * @return APR_SUCCESS; RELAY_ENOTFOUND or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_token_revoke(apr_array_header_t **ids, relay_store *s, const relay_config *cfg,
                                const char *id, const relay_actor *actor, apr_pool_t *p,
                                const char **why);

#endif
