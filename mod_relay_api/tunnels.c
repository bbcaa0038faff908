/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Tunnels: those of the caller's tenant, listed, shown, extended and closed. open.c opens. */

#include "answer.h"
#include "body.h"
#include "follow.h"
#include "pages.h"
#include "relay_clock.h"
#include "relay_duration.h"
#include "relay_grant.h"
#include "relay_tunnel_json.h"

/* A tunnel as it is answered: whose it is, too. */
static json_t *tunnel_json(const api_call *c, const relay_links *links, const relay_tunnel *t)
{
    json_t *json = relay_tunnel_json(c->cfg, links, t, c->p);

    json_object_set_new(json, "tenant", relay_json_text(*t->tenant ? t->tenant : NULL, c->p));
    return json;
}

/* ---- list */

static int answer_page(api_call *c, const relay_page *page, const apr_array_header_t *tunnels)
{
    json_t *array = json_array(), *json;
    relay_links *links;
    const char *why = NULL;
    apr_status_t rv = relay_links_read(&links, c->store, tunnels, c->p, &why);

    if (rv != APR_SUCCESS) {
        json_decref(array);
        return api_problem_why(c, rv, why);
    }
    for (int i = 0; i < tunnels->nelts; i++)
        json_array_append_new(array,
                              tunnel_json(c, links, APR_ARRAY_IDX(tunnels, i, relay_tunnel *)));
    json = json_pack("{s:i, s:o, s:o, s:o}", "v", 1, "tunnels", array, "next",
                     api_page_next(c, page), "now", relay_json_time(c->now, c->p));
    relay_place_json(json, c->cfg, c->p);
    return api_answer(c, HTTP_OK, json);
}

/* The one open tunnel of a key. */
static apr_status_t find_by_key(relay_tunnel **t, const api_call *c, const char *key,
                                const char **why)
{
    relay_grant grant;
    apr_status_t rv = relay_grant_find(&grant, c->store, key, c->p, why);

    return rv == APR_SUCCESS
               ? relay_tunnel_find_of(t, c->store, c->token.tenant, grant.tunnel, c->p, why)
               : rv;
}

/* The tunnel that a parameter names by itself, open or not, as a list of one or none. */
static int answer_found(api_call *c, const char *parameter, const char *value)
{
    static const relay_page whole = {.more = 0};
    apr_array_header_t *found = apr_array_make(c->p, 1, sizeof(relay_tunnel *));
    const char *why = NULL;
    relay_tunnel *t;
    apr_status_t rv;

    if (apr_table_elts(c->query)->nelts > 1)
        return api_problem_of(c, API_MALFORMED, parameter, "%s stands alone", parameter);
    if (*parameter == 'i')
        rv = relay_tunnel_find_of(&t, c->store, c->token.tenant, value, c->p, &why);
    else if (*parameter == 'n')
        rv = relay_tunnel_find_named_of(&t, c->store, c->token.tenant, value, c->p, &why);
    else
        rv = find_by_key(&t, c, value, &why);
    if (rv != APR_SUCCESS && rv != RELAY_ENOTFOUND)
        return api_problem_why(c, rv, why);
    if (rv == APR_SUCCESS)
        APR_ARRAY_PUSH(found, relay_tunnel *) = t;
    return answer_page(c, &whole, found);
}

int api_tunnels_list(api_call *c)
{
    static const char *const alone[] = {"id", "name", "key"};
    const char *tenant = apr_table_get(c->query, "tenant"), *why = NULL;
    relay_page page = {.device = apr_table_get(c->query, "device")};
    apr_array_header_t *tunnels;
    apr_status_t rv;
    int refused;

    for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
        if (apr_table_get(c->query, alone[i]))
            return answer_found(c, alone[i], apr_table_get(c->query, alone[i]));
    if (!api_page_read(c, &page, &refused))
        return refused;
    if (!page.tenant)
        page.tenant = tenant;
    if (page.device && !page.tenant)
        return api_problem_of(c, API_MALFORMED, "device",
                              "device is looked for within one tenant: give tenant, too");
    /* As with a tenant that has no tunnels. */
    if (tenant && strcmp(tenant, page.tenant) != 0)
        return answer_page(c, &page, apr_array_make(c->p, 0, sizeof(relay_tunnel *)));
    if ((rv = relay_tunnel_page(&tunnels, &page, c->store, c->p, &why)) != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    return answer_page(c, &page, tunnels);
}

/* ---- one */

/* A tunnel of the caller's tenant, and who is connected. */
static apr_status_t look(api_call *c, relay_tunnel **t, relay_links **links, const char **why)
{
    apr_status_t rv = relay_tunnel_find_of(t, c->store, c->token.tenant, c->object, c->p, why);

    return rv == APR_SUCCESS ? relay_links_read_one(links, c->store, *t, c->p, why) : rv;
}

/* Whether there is nothing to wait for: all its routes are connected, or it has ended. */
static int is_settled(const relay_tunnel *t, const relay_links *links)
{
    relay_link link = {.up = 1};

    for (int i = 0; i < t->nroutes && link.up; i++)
        relay_link_of(&link, links, t, i);
    return link.up || strcmp(t->state, "open") != 0;
}

/* Looks again after each event. Where the events stand is read before each look, so that none that
 * comes after it is missed. */
static apr_status_t look_until_up(api_call *c, relay_tunnel **t, relay_links **links,
                                  const char **why)
{
    apr_time_t until = relay_clock() + apr_time_from_sec(API_FOLLOW_MAX);
    relay_history latest = {.count = 1, .tenant = c->token.tenant};
    apr_status_t rv;
    int some = 1;

    while ((rv = relay_history_read(&latest, c->store, c->p, why)) == APR_SUCCESS &&
           (rv = look(c, t, links, why)) == APR_SUCCESS && some && !is_settled(*t, *links) &&
           (rv = api_follow_next(c, &some, &latest, until, why)) == APR_SUCCESS)
        ;
    return rv;
}

static int answer_tunnel(api_call *c, int wait)
{
    const char *why = NULL;
    relay_links *links;
    relay_tunnel *t;
    apr_status_t rv = wait ? look_until_up(c, &t, &links, &why) : look(c, &t, &links, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, tunnel_json(c, links, t))
                             : api_problem_why(c, rv, why);
}

int api_tunnels_show(api_call *c)
{
    const char *wait = apr_table_get(c->query, "wait");
    int answer;

    if (!wait)
        return answer_tunnel(c, 0);
    if (strcmp(wait, "up") != 0)
        return api_problem_of(c, API_MALFORMED, "wait", "wait is `up'");
    if ((answer = api_follow_begin(c)) != DECLINED)
        return answer;
    answer = answer_tunnel(c, 1);
    api_follow_end(c);
    return answer;
}

typedef struct extend_words {
    const char *ttl;
} extend_words;

int api_tunnels_extend(api_call *c)
{
    static const api_member members[] = {{"ttl", API_TEXT, 1, 0, offsetof(extend_words, ttl)},
                                         {NULL, API_TEXT, 0, 0, 0}};
    extend_words words = {NULL};
    apr_interval_time_t ttl;
    apr_time_t expires;
    const char *why = NULL;
    apr_status_t rv;
    int refused;

    if (!api_body_read(c, &words, members, &refused))
        return refused;
    if (relay_duration_parse(&ttl, words.ttl, c->p, &why) != APR_SUCCESS)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: %s", why);
    if (ttl == 0)
        return api_problem_of(c, API_UNACCEPTABLE, "ttl", "ttl: give a time, for example 2h");
    rv = relay_tunnel_extend(c->store, c->cfg, c->object, ttl, &c->actor, &expires, c->p, &why);
    return rv == APR_SUCCESS ? answer_tunnel(c, 0) : api_problem_why(c, rv, why);
}

int api_tunnels_close(api_call *c)
{
    const char *why = NULL;
    apr_status_t rv = relay_tunnel_close(c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer_nothing(c) : api_problem_why(c, rv, why);
}
