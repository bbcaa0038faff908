/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "find.h"
#include "options.h"
#include "way.h"

#include <apr_hash.h>
#include <stdio.h>

static const char *names_of(const relay_tunnel *t, apr_pool_t *p)
{
    const char *names = t->routes[0].name;

    for (int i = 1; i < t->nroutes; i++)
        names = apr_pstrcat(p, names, ", ", t->routes[i].name, NULL);
    return names;
}

static int close_one(rly *r, const relay_tunnel *t, const char *word, apr_hash_t *closed)
{
    const char *why = NULL;
    apr_status_t rv;

    /* Two names of one tunnel, in one command: the first has closed it. */
    if (apr_hash_get(closed, t->id, APR_HASH_KEY_STRING))
        return RLY_DONE;
    if ((rv = r->way->close(r, t, &why)) != APR_SUCCESS) {
        rly_error("cannot close %s: %s", word, why);
        return rly_exit_status(rv);
    }
    apr_hash_set(closed, t->id, APR_HASH_KEY_STRING, t);
    printf("closed %s (%s)\n", t->id, names_of(t, r->p));
    return RLY_DONE;
}

/* All words are understood before the first tunnel is closed: a word that means two tunnels must
 * not come to mean one by that. */
static int close_all(rly *r, const rly_options *o)
{
    relay_tunnel **found = apr_pcalloc(r->p, sizeof(*found) * (apr_size_t)o->noperands);
    apr_hash_t *closed = apr_hash_make(r->p);
    int status = RLY_DONE;

    for (int i = 0; i < o->noperands; i++) {
        const char *why = NULL;
        apr_status_t rv = rly_find(&found[i], r, o->operands[i], &why);

        if (rv != APR_SUCCESS) {
            int one = rly_exit_status(rv);

            found[i] = NULL;
            rly_error("cannot close %s: %s", o->operands[i], why);
            status = one > status ? one : status;
        }
    }
    for (int i = 0; i < o->noperands; i++) {
        int one = found[i] ? close_one(r, found[i], o->operands[i], closed) : RLY_DONE;

        status = one > status ? one : status;
    }
    return status;
}

static int run(rly *r, int argc, const char *const *argv)
{
    rly_options o;
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    if (o.noperands == 0)
        return rly_usage_error(r, RLY_FIND_WHICH "; rly list shows them");
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    return close_all(r, &o);
}

const rly_command rly_cmd_close = {
    .name = "close",
    .summary = "end tunnels now",
    .takes = "",
    .usage = "TUNNEL...",
    .about =
        "Ends tunnels at once: their URLs answer `410 Gone', their keys no longer log in, "
        "their sessions are ended. With several, each is tried, and the exit status is that of "
        "the one that went worst. What each word means is settled before the first tunnel is "
        "ended.\n" RLY_FIND_HELP,
    .examples = "  rly close nas-bern\n"
                "  rly close https://nas-basel.relay.example.com/ 'NAS in Bern'\n",
    .run = run};
