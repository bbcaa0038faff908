/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "answer.h"
#include "flat.h"
#include "relay_print.h"

#include <http_protocol.h>
#include <stdlib.h>

static const struct {
    int status, level;
    const char *tag;
} problems[] = {
    [API_NOT_HTTPS] = {403, APLOG_INFO, "RLY703"},
    [API_NO_PATH] = {404, APLOG_INFO, "RLY704"},
    [API_METHOD] = {405, APLOG_INFO, "RLY705"},
    [API_NO_TOKEN] = {401, APLOG_INFO, "RLY706"},
    [API_FORBIDDEN] = {403, APLOG_INFO, "RLY707"},
    [API_FOREIGN] = {403, APLOG_INFO, "RLY708"},
    [API_SLOW] = {429, APLOG_INFO, "RLY709"},
    [API_MALFORMED] = {400, APLOG_INFO, "RLY710"},
    [API_TOO_LARGE] = {413, APLOG_INFO, "RLY711"},
    [API_MEDIA_TYPE] = {415, APLOG_INFO, "RLY712"},
    [API_UNACCEPTABLE] = {422, APLOG_INFO, "RLY713"},
    [API_NOT_FOUND] = {404, APLOG_INFO, "RLY714"},
    [API_REFUSED] = {409, APLOG_INFO, "RLY715"},
    [API_GONE] = {410, APLOG_INFO, "RLY716"},
    [API_REUSED] = {422, APLOG_INFO, "RLY717"},
    [API_UNAVAILABLE] = {503, APLOG_ERR, "RLY718"},
    [API_RECORD] = {500, APLOG_ERR, "RLY719"},
};

static int write_out(api_call *c, int status, const char *type, const char *text)
{
    request_rec *r = c->r;

    /* What was not read of a body must not be taken for the next request. */
    if (!c->body_read)
        r->connection->keepalive = AP_CONN_CLOSE;
    r->status = status;
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    if (!r->header_only)
        ap_rputs(text, r);
    return OK;
}

static int write_json(api_call *c, int status, const char *type, json_t *json)
{
    char *dumped = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *text = dumped ? apr_pstrcat(c->p, dumped, "\n", NULL) : "{}\n";

    free(dumped);
    if (c->text)
        text = api_flat(json, c->p);
    json_decref(json);
    return write_out(c, status, c->text ? "text/plain; charset=utf-8" : type, text);
}

int api_answer(api_call *c, int status, json_t *json)
{
    return write_json(c, status, "application/json", json);
}

int api_answer_nothing(api_call *c)
{
    c->r->status = HTTP_NO_CONTENT;
    return OK;
}

int api_answer_as(api_call *c, const char *type, const char *text)
{
    return write_out(c, HTTP_OK, type, text);
}

/* @param log what the log is told, or NULL for the same as the caller */
static int problem(api_call *c, api_problem_kind kind, const char *member, const char *log,
                   const char *text)
{
    const char *detail = relay_print_clean(text, c->p);
    const char *title = ap_get_status_line(problems[kind].status) + 4;
    json_t *json = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", "about:blank", "title",
                             title, "status", problems[kind].status, "detail", detail, "tag",
                             problems[kind].tag, "request", c->id);

    if (member)
        json_object_set_new(json, "member", json_string(relay_print_clean(member, c->p)));
    log = log ? log : detail;
    /* Redis that is away is one line in some seconds, not one for each request. */
    if (kind != API_UNAVAILABLE || relay_stores_complain(c->realm->stores, log))
        ap_log_rerror(APLOG_MARK, problems[kind].level, 0, c->r, "%s %s (request %s, by %s)",
                      problems[kind].tag, log, c->id, c->actor.by ? c->actor.by : "-");
    return write_json(c, problems[kind].status, "application/problem+json", json);
}

int api_problem_of(api_call *c, api_problem_kind kind, const char *member, const char *fmt, ...)
{
    va_list ap;
    int rv;

    va_start(ap, fmt);
    rv = problem(c, kind, member, NULL, apr_pvsprintf(c->p, fmt, ap));
    va_end(ap);
    return rv;
}

int api_problem_why(api_call *c, apr_status_t rv, const char *why)
{
    static const struct {
        apr_status_t rv;
        api_problem_kind kind;
    } meant[] = {{RELAY_ENOTFOUND, API_NOT_FOUND},
                 {RELAY_EGONE, API_GONE},
                 {RELAY_EREFUSED, API_REFUSED},
                 {RELAY_EINPUT, API_UNACCEPTABLE},
                 {RELAY_ERECORD, API_RECORD}};

    if (rv == RELAY_EREUSED)
        return api_problem(c, API_REUSED,
                           "this Idempotency-Key was used for another request: use a new one");
    for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++)
        if (rv == meant[i].rv)
            return api_problem(c, meant[i].kind, "%s", why ? why : "it was refused");
    apr_table_setn(c->r->headers_out, "Retry-After", "1");
    /* Where Redis is and what it says is the log's, not the caller's. */
    if (rv == RELAY_EUNCONFIRMED)
        return problem(c, API_UNAVAILABLE, NULL, why,
                       "not confirmed: it was done, but a failover of Redis may undo that. Ask "
                       "again, a POST under the same Idempotency-Key");
    c->unreachable = 1;
    return problem(c, API_UNAVAILABLE, NULL, why,
                   "the relay cannot look that up at the moment. Whether anything was done is not "
                   "known: ask again, a POST under the same Idempotency-Key");
}
