/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Enrolment codes: a code lets so many devices into one tenant, until its end. It is 100 random
 * bits, written for people to type: `k3jw-x7qd-…`. Redis has its SHA-256 only, and nobody has the
 * code but who was given it.
 */
#ifndef RELAY_CODE_H
#define RELAY_CODE_H

#include "relay_actor.h"
#include "relay_rows.h"

#define RELAY_CODE_LEN 20  /* characters of base32, without what stands between them */
#define RELAY_CODE_GROUP 5 /* so many stand together */
#define RELAY_CODE_ID_LEN 16
#define RELAY_CODE_USES_MAX 100000

typedef struct relay_code {
    const char *id;              /* the first digits of its SHA-256 */
    const char *tenant;          /* into which it lets devices; "": nobody's */
    const char *label;           /* what it is for; may be "" */
    const char *by;              /* who made it */
    apr_int64_t uses;            /* how many devices it lets in, and */
    apr_int64_t used;            /* how many it has */
    int approval;                /* they wait until somebody approves them */
    apr_time_t created, expires; /* by Redis's clock */
} relay_code;

/**
 * Reads a code as somebody types it: capitals, blanks and dashes do not matter.
 * @param id, hash out: where it is kept, and its SHA-256; in pool p
 * @return whether it has the form
 */
int relay_code_parse(const char **id, const char **hash, const char *text, apr_pool_t *p);

typedef struct relay_code_request {
    const char *tenant, *label; /* NULL: nobody's; "" */
    apr_int64_t uses;
    int approval;
    apr_interval_time_t ttl;
    relay_actor actor; /* who asks; whether he may for that tenant is for the caller to see */
    const relay_once *once;
} relay_code_request;

/**
 * Makes a code.
 * @param text out: the code itself, which is nowhere else; NULL where it was made before
 * (req->once): then only c->id is set
 * @return as relay_token_make()
 */
apr_status_t relay_code_make(relay_code *c, const char **text, relay_store *s,
                             const relay_config *cfg, const relay_code_request *req, apr_pool_t *p,
                             const char **why);

/** They are listed as relay_code *, the one that ends first on top. */
extern const relay_rows relay_code_rows;

/**
 * Revokes a code; the devices that it let in stay.
 * @return APR_SUCCESS; RELAY_ENOTFOUND or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_code_revoke(relay_store *s, const relay_config *cfg, const char *id,
                               const relay_actor *actor, apr_pool_t *p, const char **why);

#endif
