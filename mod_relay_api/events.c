/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Events: what was done, of the caller's tenant; a call may wait for the next one. */

#include "answer.h"
#include "follow.h"
#include "pages.h"
#include "relay_clock.h"
#include "relay_history_json.h"
#include "relay_record.h"

/* Reads until there is something, or nothing is left to read, or to wait for. */
static apr_status_t read_events(api_call *c, relay_history *h, apr_time_t until, const char **why)
{
    apr_status_t rv;
    int some;

    while ((rv = relay_history_read(h, c->store, c->p, why)) == APR_SUCCESS &&
           h->events->nelts == 0) {
        h->since = h->next;
        if (h->more)
            continue;
        rv = api_follow_next(c, &some, h, until, why);
        if (rv != APR_SUCCESS || !some)
            break;
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
    if (follow && (!relay_number_parse(&seconds, follow, 2) || seconds > API_FOLLOW_MAX))
        return api_problem_of(c, API_MALFORMED, "follow", "follow is a number of seconds up to %d",
                              API_FOLLOW_MAX);
    h.tenant = c->token.tenant ? c->token.tenant : tenant;
    if (tenant && strcmp(tenant, h.tenant) != 0)
        return api_problem_of(c, API_FORBIDDEN, "tenant",
                              "this token sees events of its own tenant only");
    if (!seconds)
        return answer_events(c, &h, 0);
    if ((answer = api_follow_begin(c)) != DECLINED)
        return answer;
    answer = answer_events(c, &h, relay_clock() + apr_time_from_sec(seconds));
    api_follow_end(c);
    return answer;
}
