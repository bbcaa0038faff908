/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"
#include "find.h"
#include "output.h"
#include "way.h"

#include <stdio.h>

static int extend(rly *r, const char *word, apr_interval_time_t ttl)
{
    const char *why = NULL;
    relay_tunnel *t;
    apr_time_t expires, now;
    apr_status_t rv = rly_find(&t, r, word, &why);

    if (rv == APR_SUCCESS)
        rv = r->way->extend(r, t, ttl, &expires, &why);
    if (rv != APR_SUCCESS) {
        rly_error("cannot extend %s: %s", word, why);
        return rly_exit_status(rv);
    }
    now = expires - ttl; /* by Redis's clock */
    printf("%s now ends %s\n", t->id, rly_time_both(expires, now, r->p));
    return RLY_DONE;
}

static int run(rly *r, int argc, const char *const *argv)
{
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    if (!o.ttl)
        return rly_usage_error(r, "for how long? Give -t TTL, for example -t 2h");
    if (o.noperands != 1)
        return rly_usage_error(r, o.noperands ? "one tunnel at a time" : RLY_FIND_WHICH);
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    return extend(r, o.operands[0], o.ttl);
}

const rly_command rly_cmd_extend = {
    .name = "extend",
    .summary = "let a tunnel live longer",
    .takes = "t",
    .usage = "-t TTL TUNNEL",
    .about = "Sets the end of an open tunnel to TTL from now. It never makes a tunnel shorter: to "
             "end one, close it.\n" RLY_FIND_HELP,
    .examples = "  rly extend -t 1d nas-bern\n",
    .run = run};
