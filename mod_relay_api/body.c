/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "body.h"
#include "answer.h"
#include "query.h"

#include <http_protocol.h>

static int is_json(const char *type)
{
    static const char json[] = "application/json";

    if (!type || ap_cstr_casecmpn(type, json, sizeof(json) - 1) != 0)
        return 0;
    type += sizeof(json) - 1;
    type += strspn(type, " \t");
    return !*type || *type == ';';
}

/* @return the bytes that were read; -1: there are too many; -2: they did not come */
static long read_bytes(api_call *c, char *text)
{
    request_rec *r = c->r;
    long n, total = 0;

    if (ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK) != OK)
        return -2;
    if (!ap_should_client_block(r)) {
        c->body_read = 1;
        return 0;
    }
    while ((n = ap_get_client_block(r, text + total, (apr_size_t)(API_BODY_MAX + 1 - total))) > 0)
        if ((total += n) > API_BODY_MAX)
            return -1;
    if (n < 0)
        return -2;
    c->body_read = 1;
    return total;
}

/* What is asked for: the same under the same key is the same request. */
static void know_again(api_call *c, const char *text, apr_size_t len)
{
    const char *key = apr_table_get(c->r->headers_in, "Idempotency-Key");
    const char *what;

    if (!key)
        return;
    what = apr_pstrcat(c->p, c->r->method, " ", c->r->uri, "\n", apr_pstrmemdup(c->p, text, len),
                       NULL);
    c->once = apr_pcalloc(c->p, sizeof(*c->once));
    c->once->owner = c->token.id;
    c->once->key = relay_secret_hash(key, strlen(key), c->p);
    c->once->request = relay_secret_hash(what, strlen(what), c->p);
}

int api_body_read(api_call *c, void *out, const api_member *members, int *answer)
{
    char *text = apr_palloc(c->p, API_BODY_MAX + 1);
    api_fault fault;
    long len;

    if (!is_json(apr_table_get(c->r->headers_in, "Content-Type"))) {
        *answer = api_problem(c, API_MEDIA_TYPE,
                              "the body has to be JSON, and Content-Type has to "
                              "say application/json");
        return 0;
    }
    if ((len = read_bytes(c, text)) < 0) {
        *answer = len == -1 ? api_problem(c, API_TOO_LARGE, "the body is longer than %d bytes",
                                          API_BODY_MAX)
                            : api_problem(c, API_MALFORMED, "the body did not come whole");
        return 0;
    }
    if (api_members_read(out, text, (apr_size_t)len, members, c->p, &fault) != APR_SUCCESS) {
        *answer = api_problem_of(c, API_MALFORMED, *fault.member ? fault.member : NULL, "%s%s%s",
                                 fault.member, *fault.member ? ": " : "", fault.why);
        return 0;
    }
    know_again(c, text, (apr_size_t)len);
    return 1;
}
