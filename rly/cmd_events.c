/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "options.h"
#include "output.h"
#include "relay_history_json.h"
#include "relay_print.h"
#include "way.h"

#include <stdio.h>
#include <string.h>

#define LATEST 50
#define PLACE_SIZE 64
#define PAGES_MAX 500 /* of 50 events at least, but for a tenant of few: Redis keeps 10,000 */

/* What else an event says: `peer 192.0.2.1:5, why …'. */
typedef struct words {
    const char *text;
    apr_pool_t *p;
} words;

static int add_word(void *baton, const char *name, const char *value)
{
    words *w = baton;

    if (*value && strcmp(name, "expires") != 0)
        w->text = apr_pstrcat(w->p, w->text, *w->text ? ", " : "", name, " ", value, NULL);
    return 1;
}

static const char *details_of(const relay_happened *e, apr_pool_t *p)
{
    words w = {*e->from ? apr_pstrcat(p, "from ", e->from, NULL) : "", p};

    apr_table_do(add_word, &w, e->details, NULL);
    return w.text;
}

enum { AT, WHAT, TUNNEL, TENANT, RELAY, BY, DETAILS, NCOLUMNS };

static void print_table(const relay_history *h, apr_pool_t *p)
{
    static const char *const headings[] = {"AT",    "WHAT", "TUNNEL", "TENANT",
                                           "RELAY", "BY",   "DETAILS"};
    rly_table *table = rly_table_create(p, NCOLUMNS, headings);

    for (int i = 0; i < h->events->nelts; i++) {
        const relay_happened *e = APR_ARRAY_IDX(h->events, i, const relay_happened *);

        rly_table_add(table, (const char *[]){rly_time_local(e->at, p), e->what, e->tunnel,
                                              e->tenant, e->relay, e->by, details_of(e, p)});
    }
    rly_table_print(table);
}

/* A line for each, of those that come one by one. */
static void print_lines(const relay_history *h, int json, apr_pool_t *p)
{
    for (int i = 0; i < h->events->nelts; i++) {
        const relay_happened *e = APR_ARRAY_IDX(h->events, i, const relay_happened *);
        const char *line =
            apr_psprintf(p, "%s %s %s%s%s by %s %s", rly_time_local(e->at, p), e->what, e->tunnel,
                         *e->tenant ? " of " : "", e->tenant, e->by, details_of(e, p));

        if (json)
            rly_json_print(relay_happened_json(e, p));
        else
            puts(relay_print_clean(line, p));
    }
    fflush(stdout);
}

static int fail(apr_status_t rv, const char *why)
{
    rly_error("%s", why);
    return rly_exit_status(rv);
}

/* All pages, one after the other; whole is what they have together. */
static apr_status_t read_all(relay_history *whole, relay_history *h, rly *r, const char **why)
{
    int latest = h->since == NULL;
    apr_status_t rv;
    int n = 0;

    whole->events = apr_array_make(r->p, h->count, sizeof(relay_happened *));
    do {
        if ((rv = r->way->events(r, h, 0, r->p, why)) != APR_SUCCESS)
            return rv;
        apr_array_cat(whole->events, h->events);
        h->since = h->next;
    } while (h->more && !latest && ++n < PAGES_MAX);
    if (n == PAGES_MAX) {
        RELAY_WHY(why, r->p, "the list of events does not end");
        return RELAY_ERECORD;
    }
    whole->next = h->next;
    return APR_SUCCESS;
}

static int print_once(rly *r, relay_history *h, int json)
{
    relay_history whole = {.more = 0};
    const char *why = NULL;
    apr_status_t rv = read_all(&whole, h, r, &why);

    if (rv != APR_SUCCESS)
        return fail(rv, why);
    if (json)
        return rly_json_print(relay_history_json(&whole, r->p));
    if (whole.events->nelts)
        print_table(&whole, r->p);
    else
        puts("Nothing has happened.");
    return RLY_DONE;
}

/* Until it is ended, nobody reads any more, or Redis or the API is away. */
static int print_on(rly *r, relay_history *h, int json)
{
    char *place = apr_palloc(r->p, PLACE_SIZE);
    const char *why = NULL;
    apr_status_t rv;
    apr_pool_t *p;

    apr_pool_create(&p, r->p);
    while ((rv = r->way->events(r, h, 1, p, &why)) == APR_SUCCESS) {
        print_lines(h, json, p);
        if (ferror(stdout))
            return RLY_DONE;
        apr_cpystrn(place, h->next, PLACE_SIZE);
        h->since = place;
        apr_pool_clear(p);
    }
    return fail(rv, why);
}

static int run(rly *r, int argc, const char *const *argv)
{
    rly_options o;
    relay_history h = {.count = LATEST};
    int status = rly_options_parse(&o, r, argc, argv);

    if (status != RLY_DONE)
        return status;
    if (o.help)
        return rly_help_print(r->command);
    if (o.noperands)
        return rly_usage_error(r, "events takes no operands");
    if (o.since && !relay_history_is_place(o.since))
        return rly_usage_error(r, "-s %s: that is no id of an event: 1700000000000-0", o.since);
    h.since = o.since;
    h.tenant = o.tenant;
    if ((status = rly_connect(r)) != RLY_DONE)
        return status;
    return o.follow ? print_on(r, &h, o.json) : print_once(r, &h, o.json);
}

const rly_command rly_cmd_events = {
    .name = "events",
    .summary = "say what was done, by whom and from where",
    .takes = "sfEj",
    .usage = "[--since ID] [--follow] [--tenant TENANT] [--json]",
    .about = "Prints the last events, or those since one of them: what was done to which tunnel or "
             "token, by whom, and from where. Redis keeps about 10,000.\n",
    .examples = "  rly events --follow\n"
                "  rly events --since 0 --json | jq -c '.events[] | [.at, .what, .by]'\n",
    .run = run};
