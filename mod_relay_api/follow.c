/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "follow.h"
#include "answer.h"
#include "followers.h"
#include "relay_clock.h"

#include <ap_mpm.h>

static int is_stopping(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

int api_follow_begin(api_call *c)
{
    if (api_followers_begin(c->realm->followers, c->token.id))
        return DECLINED;
    apr_table_setn(c->r->headers_out, "Retry-After", "5");
    return api_problem(c, API_SLOW, "too many calls wait for events");
}

void api_follow_end(api_call *c)
{
    api_followers_end(c->realm->followers, c->token.id);
}

static int goes_on(void *until)
{
    return relay_clock() < *(const apr_time_t *)until && !is_stopping();
}

apr_status_t api_follow_next(api_call *c, int *some, const relay_history *h, apr_time_t until,
                             const char **why)
{
    apr_status_t rv = relay_history_follow(some, h, c->store, goes_on, &until, c->p, why);

    if (*some)
        apr_sleep(apr_time_from_msec(50)); /* others' events may come thick and fast */
    return rv;
}
