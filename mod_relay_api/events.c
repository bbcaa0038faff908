/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Events: what was done, of the caller's tenant; a call may wait for the next one. */

#include "answer.h"
#include "followers.h"
#include "pages.h"
#include "relay_history_json.h"
#include "relay_record.h"

#include <ap_mpm.h>

#define FOLLOW_MAX 30 /* seconds: an httpd that is to stop waits for it */

static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

/* Reads until there is something, or nothing is left to read, or to wait for. */
static apr_status_t read_events(api_call *c, relay_history *h, apr_time_t until, const char **why)
{
    apr_status_t rv;
    apr_pool_t *p;
    int some;

    while ((rv = relay_history_read(h, c->store, c->p, why)) == APR_SUCCESS &&
           h->events->nelts == 0) {
        h->since = h->next;
        if (h->more)
            continue;
        apr_pool_create(&p, c->p);
        for (some = 0; rv == APR_SUCCESS && !some && apr_time_now() < until && !is_stopping();
             apr_pool_clear(p)) {
            rv = relay_history_wait(&some, h, c->store, p, why);
            if (rv != APR_SUCCESS)
                *why = apr_pstrdup(c->p, *why);
        }
        apr_pool_destroy(p);
        if (rv != APR_SUCCESS || !some)
            break;
        apr_sleep(apr_time_from_msec(50)); /* others' events may come thick and fast */
    }
    return rv;
}

static int answer_events(api_call *c, relay_history *h, apr_time_t until)
{
    const char *why = NULL;
    apr_status_t rv = read_events(c, h, until, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, relay_history_json(h, c->p))
                             : api_problem_why(c, rv, why);
}

int api_events_list(api_call *c)
{
    const char *tenant = apr_table_get(c->query, "tenant");
    const char *follow = apr_table_get(c->query, "follow");
    relay_history h = {.since = apr_table_get(c->query, "since")};
    apr_int64_t seconds = 0;
    int answer;

    if (!api_page_limit(c, &h.count, &answer))
        return answer;
    if (h.since && !relay_history_is_place(h.since))
        return api_problem_of(c, API_MALFORMED, "since",
                              "since is the `next' of an answer or the `id' of an event");
    if (follow && (!relay_number_parse(&seconds, follow, 2) || seconds > FOLLOW_MAX))
        return api_problem_of(c, API_MALFORMED, "follow", "follow is a number of seconds up to %d",
                              FOLLOW_MAX);
    h.tenant = c->token.tenant ? c->token.tenant : tenant;
    if (tenant && strcmp(tenant, h.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token sees events of its own tenant only");
    if (!seconds)
        return answer_events(c, &h, 0);
    if (!api_followers_begin(c->realm->followers, c->token.id)) {
        apr_table_setn(c->r->headers_out, "Retry-After", "5");
        return api_problem(c, API_SLOW, "too many calls wait for events");
    }
    answer = answer_events(c, &h, apr_time_now() + apr_time_from_sec(seconds));
    api_followers_end(c->realm->followers, c->token.id);
    return answer;
}
