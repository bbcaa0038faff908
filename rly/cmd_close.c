/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"

#include <apr_hash.h>
#include <stdio.h>

static const char *names_of(const relay_tunnel *t, apr_pool_t *p)
{
    const char *names = t->routes[0].name;

    for (int i = 1; i < t->nroutes; i++)
        names = apr_pstrcat(p, names, ", ", t->routes[i].name, NULL);
    return names;
}

static int close_one(rly *r, const char *id_or_name, apr_hash_t *closed, const char *by)
{
    const char *why = NULL;
    relay_tunnel *t;
    apr_status_t rv = relay_tunnel_find(&t, r->store, id_or_name, r->p, &why);

    /* Two names of one tunnel, in one command: the first has closed it. */
    if (rv == APR_SUCCESS && apr_hash_get(closed, t->id, APR_HASH_KEY_STRING))
        return RLY_DONE;
    if (rv == APR_SUCCESS)
        rv = relay_tunnel_close(r->store, r->cfg, t->id, by, r->p, &why);
    if (rv != APR_SUCCESS) {
        rly_error("cannot close %s: %s", id_or_name, why);
        return rly_exit_status(rv);
    }
    apr_hash_set(closed, t->id, APR_HASH_KEY_STRING, t);
    printf("closed %s (%s)\n", t->id, names_of(t, r->p));
    return RLY_DONE;
}

static int run(rly *r, int argc, const char *const *argv)
{
    const char *by = rly_operator(r->p);
    apr_hash_t *closed = apr_hash_make(r->p);
    rly_options o;
    int status = rly_options_parse(&o, r, "", argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    if (o.noperands == 0)
        return rly_usage_error(r, "which tunnel? Give its id or a name of it; rly list shows them");
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    for (int i = 0; i < o.noperands; i++) {
        int one = close_one(r, o.operands[i], closed, by);

        status = one > status ? one : status;
    }
    return status;
}

const rly_command rly_cmd_close = {
    "close", "end tunnels now",
    "ID|NAME...",
    "Ends tunnels at once: their URLs answer `410 Gone', their keys no longer log in, their sessions are ended.\n"
    "A tunnel is named by its id or by the name of any of its routes. With several, each is tried; the exit\n"
    "status is that of the one that went worst.\n"
    "\n"
    "  -c, --config FILE    another relay.conf\n"
    "\n"
    "Examples:\n"
    "  rly close nas-bern\n"
    "  rly close 2kqv5d7mzu3fhw4a nas-basel\n",
    run
};
