/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The way of a request: what is asked first is what costs least, and tells least. */

#include "api.h"
#include "answer.h"
#include "origin.h"
#include "person.h"
#include "query.h"
#include "relay_name.h"
#include "relay_secret.h"
#include "relay_text.h"

#include <http_core.h>
#include <http_protocol.h>

static const api_endpoint endpoints[] = {
#define ENDPOINT(method, path, right, redis, parameters, run) \
    {method, path, right, redis, parameters, run},
#include "endpoints.def"
};
#define NENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

/* ---- which endpoint */

/* @param object out: what stands where the pattern has {id} */
static int matches(const char *pattern, const char *path, const char **object, apr_pool_t *p)
{
    apr_size_t fixed = strcspn(pattern, "{");

    if (!pattern[fixed])
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, fixed) != 0 || !path[fixed] || strchr(path + fixed, '/'))
        return 0;
    *object = apr_pstrdup(p, path + fixed);
    return 1;
}

static const api_endpoint *find(api_call *c, const char **allowed)
{
    const char *method = c->r->header_only ? "GET" : c->r->method;

    *allowed = NULL;
    for (size_t i = 0; i < NENDPOINTS; i++) {
        if (!matches(endpoints[i].path, c->r->uri, &c->object, c->p))
            continue;
        if (strcmp(endpoints[i].method, method) == 0)
            return &endpoints[i];
        *allowed = *allowed ? apr_pstrcat(c->p, *allowed, ", ", endpoints[i].method, NULL)
                            : endpoints[i].method;
    }
    return NULL;
}

/* ---- who calls */

static int no_token(api_call *c, const char *detail)
{
    apr_table_setn(c->r->headers_out, "WWW-Authenticate", "Bearer realm=\"relay\"");
    return api_problem(c, API_NO_TOKEN, "%s", detail);
}

static int too_fast(api_call *c, apr_interval_time_t wait)
{
    apr_table_setn(c->r->headers_out, "Retry-After",
                   apr_psprintf(c->p, "%d", (int)apr_time_sec(wait + APR_USEC_PER_SEC - 1)));
    return api_problem(c, API_SLOW, "more requests than %d a minute", c->conf->rate);
}

/* @return DECLINED where the call may go on */
static int admit_token(api_call *c, const char *field)
{
    const char *text, *why = NULL;
    apr_interval_time_t wait = 0;
    apr_status_t rv;

    if (!field)
        return no_token(c, "a token is needed: Authorization: Bearer relay_...");
    if ((text = api_bearer(field)) == NULL)
        return no_token(c, "the Authorization field is not `Bearer' and a token");
    rv = relay_token_admit(&c->token, c->store, text, strlen(text), c->conf->rate, &wait, c->p,
                           &why);
    if (rv == RELAY_ENOTFOUND)
        return no_token(c, "there is no such token: it has ended, was revoked, or never was");
    if (rv == RELAY_EREFUSED)
        return too_fast(c, wait);
    if (rv != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    c->actor.by = apr_pstrcat(c->p, "token:", c->token.id, NULL);
    c->r->user = (char *)c->actor.by; /* for the access log */
    return DECLINED;
}

/* Whether httpd has logged in who calls, and he shows no token of the API beside that. Modules that
 * let strangers pass (OIDCUnAuthAction pass) call them "". */
static int is_person(const api_call *c, const char *field)
{
    const char *text = field ? api_bearer(field) : NULL;
    static const char begins[] = RELAY_TOKEN_BEGINS;

    return api_place_of(c->r)->people && c->r->user && *c->r->user &&
           !(text && strncmp(text, begins, sizeof(begins) - 1) == 0);
}

#define PERSON_MAX 200

/* @return DECLINED where the call may go on */
static int admit_person(api_call *c)
{
    const apr_table_t *in = c->r->headers_in;
    const char *user = c->r->user, *why = NULL;
    apr_interval_time_t wait = 0;
    const api_person *person;
    apr_status_t rv;

    if (!api_origin_is_own(c->r->method_number != M_GET, apr_table_get(in, "Sec-Fetch-Site"),
                           apr_table_get(in, "Origin"), apr_table_get(in, "Host")))
        return api_problem(c, API_FOREIGN,
                           "that was not asked for by a page of this host, as what changes "
                           "something has to be for people who are logged in here; programs "
                           "show a token");
    if (strlen(user) > PERSON_MAX || !relay_text_is_plain(user))
        return api_problem(c, API_FORBIDDEN, "the name that you are logged in by cannot be used");
    if ((person = api_person_of(api_place_of(c->r)->people, c->r)) == NULL)
        return api_problem(c, API_FORBIDDEN,
                           "you are logged in as %s, and nobody has given you a role here", user);
    c->actor.by = apr_pstrcat(c->p, "person:", user, NULL);
    c->token = (relay_token){
        .id = apr_pstrcat(c->p, "person:", relay_secret_hash(user, strlen(user), c->p), NULL),
        .role = person->role,
        .tenant = person->tenant};
    rv = relay_token_count(c->store, c->token.id, c->conf->rate, &wait, c->p, &why);
    if (rv == RELAY_EREFUSED)
        return too_fast(c, wait);
    return rv == APR_SUCCESS ? DECLINED : api_problem_why(c, rv, why);
}

/* @return DECLINED where the call may go on */
static int admit(api_call *c, int right)
{
    const char *field = apr_table_get(c->r->headers_in, "Authorization");
    int person = is_person(c, field), rv = person ? admit_person(c) : admit_token(c, field);

    if (rv != DECLINED)
        return rv;
    c->actor.tenant = c->token.tenant;
    c->actor.from = c->r->useragent_ip;
    c->actor.request = c->id;
    if (!(relay_token_rights(c->token.role) & right))
        return api_problem(c, API_FORBIDDEN, "%s, %s, may not do that",
                           person ? "your role" : "the role of this token", c->token.role);
    return DECLINED;
}

/* ---- how it is asked */

static int has_body(const request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding") || (length && strcmp(length, "0"));
}

/* @return DECLINED where the call may go on */
static int check_form(api_call *c, const api_endpoint *e)
{
    const char *once = apr_table_get(c->r->headers_in, "Idempotency-Key"), *which, *why;
    int takes_body = c->r->method_number == M_POST || c->r->method_number == M_PATCH;

    if (api_query_parse(&c->query, c->r->args, e->parameters, c->p, &which, &why) != APR_SUCCESS)
        return api_problem_of(c, API_MALFORMED, *which ? which : NULL, "%s", why);
    if (!takes_body && has_body(c->r))
        return api_problem(c, API_MALFORMED, "a %s has no body here", c->r->method);
    c->body_read = !takes_body;
    if (once && c->r->method_number != M_POST)
        return api_problem(c, API_MALFORMED, "an Idempotency-Key is for POST alone");
    if (once && !api_once_is_valid(once))
        return api_problem(c, API_MALFORMED,
                           "an Idempotency-Key is 1 to 255 visible characters of ASCII");
    return DECLINED;
}

/* ---- the way */

static int run(api_call *c, const api_endpoint *e)
{
    int rv;

    if ((rv = check_form(c, e)) != DECLINED || (e->right && (rv = admit(c, e->right)) != DECLINED))
        return rv;
    return e->run(c);
}

static int run_with_redis(api_call *c, const api_endpoint *e)
{
    relay_lent *lent = relay_stores_take(c->realm->stores);
    const char *why = NULL;
    apr_status_t asked;
    int rv;

    if (!lent)
        return api_problem_why(c, RELAY_EUNREACHABLE, "Redis was away a moment ago");
    c->store = lent->store;
    /* A connection that broke while it was idle is made anew for what only reads. Scripts do not do
     * that: nobody knows whether they ran. */
    asked = relay_store_now(&c->now, c->store, c->p, &why);
    rv = asked == APR_SUCCESS ? run(c, e) : api_problem_why(c, asked, why);
    c->store = NULL;
    relay_stores_give_back(c->realm->stores, lent, c->unreachable);
    relay_stores_sweep(c->realm->stores);
    return rv;
}

static int answer(api_call *c)
{
    const char *allowed;
    const api_endpoint *e;

    if (strcmp(ap_http_scheme(c->r), "https") != 0)
        return api_problem(c, API_NOT_HTTPS,
                           "a token is not sent in the clear: use https, and revoke a token that "
                           "was");
    if ((e = find(c, &allowed)) == NULL && !allowed)
        return api_problem(c, API_NO_PATH,
                           "there is nothing at this path; /v1/openapi.json has "
                           "what there is");
    if (!e) {
        apr_table_setn(c->r->headers_out, "Allow", allowed);
        return api_problem(c, API_METHOD, "this path takes %s", allowed);
    }
    return e->redis ? run_with_redis(c, e) : run(c, e);
}

int api_serve(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    api_call c = {.r = r, .p = r->pool};
    char *id;

    if (api_place_of(r)->on != 1 || r->proxyreq || strncmp(r->uri, "/v1/", 4) != 0)
        return DECLINED;
    c.conf = api_server_of(r->server);
    if (!c.conf->realm || !c.conf->realm->stores)
        return HTTP_INTERNAL_SERVER_ERROR;
    c.realm = c.conf->realm;
    c.cfg = c.realm->relay;
    id = apr_palloc(r->pool, RELAY_NAME_RANDOM_LEN + 1);
    if (relay_name_random(id) != APR_SUCCESS)
        return HTTP_INTERNAL_SERVER_ERROR;
    c.id = id;
    c.text = accept && api_wants_text(accept);
    apr_table_setn(r->headers_out, "X-Request-Id", c.id);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Vary", "Accept");
    return answer(&c);
}
