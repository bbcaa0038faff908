/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "verbs.h"

#include <string.h>

static int run_verb(rly *r, const rly_options *o, const rly_verb *verb)
{
    int n = o->noperands - 1, status;

    if (n < verb->least || n > verb->most)
        return rly_usage_error(r, "%s", verb->operands);
    return (status = rly_connect(r)) == RLY_DONE ? verb->run(r, o, n, o->operands + 1) : status;
}

int rly_verbs_run(rly *r, int argc, const char *const *argv, const rly_verb *verbs)
{
    const char *names = "";
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    for (; verbs->name; verbs++) {
        if (o.noperands && strcmp(o.operands[0], verbs->name) == 0)
            return run_verb(r, &o, verbs);
        names = apr_pstrcat(r->p, names, *names ? ", " : "", verbs->name, NULL);
    }
    return rly_usage_error(r, "what of a %s? There are %s", r->command->name, names);
}

int rly_for_each(rly *r, int n, const char *const *operands, int (*one)(rly *r, const char *id))
{
    int status = RLY_DONE;

    for (int i = 0; i < n; i++) {
        int this = one(r, operands[i]);

        status = this > status ? this : status;
    }
    return status;
}

int rly_fail(apr_status_t rv, const char *why)
{
    rly_error("%s", why);
    return rly_exit_status(rv);
}
