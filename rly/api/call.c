/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "call.h"
#include "http.h"
#include "relay_clock.h"
#include "relay_name.h"

#include <stdlib.h>
#include <string.h>

#define CALL_TIME apr_time_from_sec(10) /* one try */
#define WITHIN apr_time_from_sec(20)    /* all tries */
#define PAUSE apr_time_from_msec(250)   /* where the API does not say how long; it doubles */
#define PAUSE_MAX apr_time_from_sec(4)

struct rly_api {
    rly_http *http;
    rly_place place;
};

apr_status_t rly_api_create(rly_api **out, const rly_place *place, apr_pool_t *p, const char **why)
{
    rly_api *api = apr_pcalloc(p, sizeof(*api));
    apr_status_t rv = rly_http_create(&api->http, place->cacert, p, why);

    api->place = *place;
    if (rv == APR_SUCCESS)
        *out = api;
    return rv;
}

const char *rly_api_escape(const char *text, apr_pool_t *p)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    char *out = apr_palloc(p, 3 * strlen(text) + 1), *to = out;

    for (; *text; text++)
        if (strchr(plain, *text))
            *to++ = *text;
        else
            to += apr_snprintf(to, 4, "%%%02X", (unsigned char)*text);
    *to = '\0';
    return out;
}

/* ---- one try */

static json_t *json_of(const rly_http_answer *answer)
{
    json_t *json =
        answer->body ? json_loadb(answer->body, answer->len, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* What an answer that is none of success says. */
static apr_status_t refused(rly_api_result *out, const rly_api *api, const rly_http_answer *answer,
                            apr_pool_t *p, const char **why)
{
    json_t *json = json_of(answer);
    apr_status_t rv;

    rly_answer_refused(&out->problem, json, p);
    json_decref(json);
    rv = rly_answer_status(answer->status, &out->problem);
    if (answer->status >= 300 && answer->status < 400)
        RELAY_WHY(why, p, "%s sends elsewhere (status %ld), and the token is for this place alone",
                  api->place.url, answer->status);
    else if (!out->problem.detail)
        RELAY_WHY(why, p, "%s answers as no API does: status %ld", api->place.url, answer->status);
    else if (answer->status == 401)
        RELAY_WHY(why, p, "the API does not take the token of %s: %s", api->place.file,
                  out->problem.detail);
    else
        RELAY_WHY(why, p, "%s", out->problem.detail);
    return rv;
}

/* @param wait the pause where the API does not say one; out: after what time it makes sense to ask
 * again, -1 never */
static apr_status_t ask(rly_api_result *out, const rly_api *api, const rly_http_request *req,
                        int may_repeat, apr_interval_time_t *wait, apr_pool_t *p, const char **why)
{
    apr_interval_time_t pause = *wait;
    rly_http_answer answer;
    apr_status_t rv;
    int sent;

    *wait = -1;
    out->problem = (rly_answer_problem){.tag = "", .member = ""};
    if ((rv = rly_http_ask(api->http, req, &answer, &sent, p, why)) != APR_SUCCESS) {
        if (sent && may_repeat)
            *wait = pause;
        return rv;
    }
    if (answer.status < 200 || answer.status > 299) {
        rv = refused(out, api, &answer, p, why);
        if (answer.status == 429 || (rv == RELAY_EUNREACHABLE && may_repeat))
            *wait = answer.retry_after ? answer.retry_after : pause;
        return rv;
    }
    if (answer.status != 204 && (out->json = json_of(&answer)) == NULL) {
        RELAY_WHY(why, p, "the API's answer cannot be used: it is no object of JSON");
        return RELAY_ERECORD;
    }
    return APR_SUCCESS;
}

/* ---- all tries */

apr_status_t rly_api_call(rly_api_result *out, rly_api *api, const rly_api_request *req,
                          apr_pool_t *p, const char **why)
{
    int writes = strcmp(req->method, "GET") != 0;
    apr_interval_time_t patience = apr_time_from_sec(req->patience);
    apr_time_t end = relay_clock() + WITHIN + patience;
    rly_http_request http = {.method = req->method,
                             .url = apr_pstrcat(p, api->place.url, req->path, NULL),
                             .token = api->place.token};
    char *body = req->body ? json_dumps(req->body, JSON_COMPACT) : NULL;
    char key[RELAY_NAME_RANDOM_LEN + 1];
    apr_interval_time_t pause = PAUSE, wait, left;
    apr_status_t rv;

    *out = (rly_api_result){.json = NULL};
    http.body = body;
    if (strcmp(req->method, "POST") == 0) {
        if ((rv = relay_name_random(key)) != APR_SUCCESS) {
            RELAY_WHY(why, p, "the kernel gives no random bytes");
            free(body);
            return rv;
        }
        http.once = key;
    }
    for (;;) {
        left = end - relay_clock();
        http.time = left < CALL_TIME + patience ? left : CALL_TIME + patience;
        wait = pause;
        rv = ask(out, api, &http, writes && !req->once, &wait, p, why);
        if (rv == APR_SUCCESS || wait < 0 || relay_clock() + wait + PAUSE > end)
            break;
        apr_sleep(wait);
        pause = pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
        out->repeated = 1;
    }
    free(body);
    return rv;
}
