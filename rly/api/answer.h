/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What the API answers, read into the structs that Redis's records are read into. A server is not
 * believed: each member has to have its form, texts have nothing that a terminal would act on, and
 * what becomes a line of ssh's configuration is checked as relay.conf is. What is not known is
 * passed over, so that a newer API may say more. Pure; results are in pool p.
 */
#ifndef RLY_API_ANSWER_H
#define RLY_API_ANSWER_H

#include "relay_config.h"
#include "relay_links.h"
#include "relay_token.h"

#include <jansson.h>

/** A page of tunnels. */
typedef struct rly_answer_page {
    apr_array_header_t *tunnels; /* relay_tunnel *, added to */
    relay_links *links;          /* of these, added to */
    apr_time_t now;              /* by the clock that the times go by */
    const char *next;            /* cursor of the next page, or NULL */
} rly_answer_page;

/**
 * All of them return APR_SUCCESS, or RELAY_ERECORD with *why, which names the member that is wrong.
 *
 * @param cfg gets name, domain and https_port
 */
apr_status_t rly_answer_tunnels(rly_answer_page *page, relay_config *cfg, const json_t *json,
                                apr_pool_t *p, const char **why);

/** One tunnel, without what is told of its links. */
apr_status_t rly_answer_tunnel(relay_tunnel **out, const json_t *json, apr_pool_t *p,
                               const char **why);

/** A tunnel that was just opened. */
typedef struct rly_answer_opened {
    relay_tunnel *tunnel;
    apr_array_header_t *hostkeys; /* const char *, `type base64` */
    apr_array_header_t *notes;    /* const char *, sentences for people */
} rly_answer_opened;

/**
 * @param cfg gets name, domain, https_port, ssh_host, ssh_port and user
 * @param tls whether SSH goes inside TLS: the port is HTTPS's then
 */
apr_status_t rly_answer_open(rly_answer_opened *out, relay_config *cfg, int tls, const json_t *json,
                             apr_pool_t *p, const char **why);

/** A token. @param text out: the token itself; may be NULL where none is looked for */
apr_status_t rly_answer_token(relay_token *out, const char **text, const json_t *json,
                              apr_pool_t *p, const char **why);

/** A page of tokens, as with tunnels. @param tokens relay_token *, added to */
apr_status_t rly_answer_tokens(apr_array_header_t *tokens, const char **next, const json_t *json,
                               apr_pool_t *p, const char **why);

/** Ids of tokens that were revoked. @param ids out: const char * */
apr_status_t rly_answer_revoked(apr_array_header_t **ids, const json_t *json, apr_pool_t *p,
                                const char **why);

/** A problem (RFC 9457). */
typedef struct rly_answer_problem {
    const char *detail; /* for people; NULL where the answer is none */
    const char *tag;    /* RLY7xx; "" where there is none */
    const char *member; /* which one was wrong; "" where it is not said */
} rly_answer_problem;

void rly_answer_refused(rly_answer_problem *out, const json_t *json, apr_pool_t *p);

/** What a problem means to rly. @param status HTTP's */
apr_status_t rly_answer_status(long status, const rly_answer_problem *problem);

#endif
