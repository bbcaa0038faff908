/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_history.h"
#include "relay_actor.h"
#include "relay_print.h"
#include "relay_record.h"

#include <string.h>

#define BEGIN "0-0"

/* MS-NUMBER. @param number 0 where it is not there */
static int parse_place(apr_time_t *at, apr_int64_t *number, const char *text)
{
    const char *dash = strchr(text, '-');
    char ms[16];
    apr_size_t len = dash ? (apr_size_t)(dash - text) : strlen(text);

    if (len >= sizeof(ms))
        return 0;
    memcpy(ms, text, len);
    ms[len] = '\0';
    *number = 0;
    return relay_time_parse(at, ms) && (!dash || relay_number_parse(number, dash + 1, 9));
}

int relay_history_is_place(const char *text)
{
    apr_time_t at;
    apr_int64_t number;

    return parse_place(&at, &number, text);
}

int relay_history_compare(const char *a, const char *b)
{
    apr_time_t at[2] = {0, 0};
    apr_int64_t number[2] = {0, 0};

    parse_place(&at[0], &number[0], a);
    parse_place(&at[1], &number[1], b);
    if (at[0] != at[1])
        return at[0] < at[1] ? -1 : 1;
    return number[0] < number[1] ? -1 : number[0] > number[1];
}

/* The id of the first event that may stand behind a place; "" for NULL. */
static const char *first_behind(const char *since, apr_pool_t *p)
{
    apr_time_t at = 0;
    apr_int64_t number = 0;

    if (!since)
        return "";
    parse_place(&at, &number, since);
    return apr_psprintf(p, "%" APR_INT64_T_FMT "-%" APR_INT64_T_FMT, apr_time_as_msec(at),
                        number + 1);
}

/* ---- reading the answer */

/* Puts a field where it belongs. */
static void set_field(relay_happened *e, const char *name, const char *value, apr_pool_t *p)
{
    const struct {
        const char *name;
        const char **at;
    } own[] = {{"what", &e->what}, {"tunnel", &e->tunnel}, {"relay", &e->relay},
               {"by", &e->by},     {"from", &e->from},     {"request", &e->request}};

    if (strcmp(name, "tenant") == 0) /* it stands before the fields */
        return;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(name, own[i].name) == 0) {
            *own[i].at = relay_print_clean(value, p);
            return;
        }
    if (*name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")])
        apr_table_set(e->details, name, relay_print_clean(value, p));
}

/* {id, tenant, field, value…} */
static relay_happened *read_event(const redisReply *reply, apr_pool_t *p)
{
    relay_happened *e = apr_pcalloc(p, sizeof(*e));
    apr_int64_t number;

    if (reply->type != REDIS_REPLY_ARRAY ||
        !parse_place(&e->at, &number, relay_script_word(reply, 0)))
        return NULL;
    e->id = apr_pstrdup(p, relay_script_word(reply, 0));
    e->tenant = relay_print_clean(relay_script_word(reply, 1), p);
    e->what = e->tunnel = e->relay = e->by = e->from = e->request = "";
    e->details = apr_table_make(p, 4);
    for (apr_size_t i = 2; i + 1 < reply->elements; i += 2)
        set_field(e, relay_script_word(reply, i), relay_script_word(reply, i + 1), p);
    return e;
}

static apr_status_t read_page(relay_history *h, const redisReply *reply, apr_pool_t *p,
                              const char **why)
{
    const char *next = relay_script_word(reply, 1);
    relay_happened *e;

    if (strcmp(relay_script_word(reply, 0), "ok") != 0 || reply->elements < 3 ||
        reply->elements > 3 + RELAY_HISTORY_MAX || (*next && !relay_history_is_place(next)))
        return relay_script_unknown(RELAY_SCRIPT_EVENTS, p, why);
    h->events = apr_array_make(p, (int)reply->elements, sizeof(relay_happened *));
    for (apr_size_t i = 3; i < reply->elements; i++) {
        if ((e = read_event(reply->element[i], p)) == NULL)
            return relay_script_unknown(RELAY_SCRIPT_EVENTS, p, why);
        APR_ARRAY_PUSH(h->events, relay_happened *) = e;
    }
    if (*next)
        h->next = apr_pstrdup(p, next);
    else
        h->next = h->since ? h->since : BEGIN;
    h->more = strcmp(relay_script_word(reply, 2), "more") == 0;
    return APR_SUCCESS;
}

/* ---- asking */

apr_status_t relay_history_read(relay_history *h, relay_store *s, apr_pool_t *p, const char **why)
{
    const char *args[] = {h->tenant ? h->tenant : RELAY_TENANT_ALL, first_behind(h->since, p),
                          apr_itoa(p, h->count)};
    redisReply *reply;
    apr_status_t rv = relay_store_script(s, &reply, RELAY_SCRIPT_EVENTS, 3, args, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    rv = read_page(h, reply, p, why);
    freeReplyObject(reply);
    return rv;
}

/* One wait in Redis. */
static apr_status_t wait_once(int *some, const relay_history *h, relay_store *s, apr_pool_t *p,
                              const char **why)
{
    /* Less than the connection's own deadline is. */
    const char *argv[] = {"XREAD",
                          "COUNT",
                          "1",
                          "BLOCK",
                          apr_psprintf(p, "%" APR_TIME_T_FMT,
                                       apr_time_as_msec(relay_store_timeout(s) / 2) + 1),
                          "STREAMS",
                          relay_store_key(s, p, RELAY_KEYNAME_EVENTS, ""),
                          h->next};
    redisReply *reply;
    apr_status_t rv = relay_store_command(s, &reply, 8, argv, NULL, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    *some = reply->type == REDIS_REPLY_ARRAY;
    freeReplyObject(reply);
    return APR_SUCCESS;
}

apr_status_t relay_history_follow(int *some, const relay_history *h, relay_store *s,
                                  int (*goes_on)(void *baton), void *baton, apr_pool_t *p,
                                  const char **why)
{
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *once;

    apr_pool_create(&once, p);
    for (*some = 0; rv == APR_SUCCESS && !*some && (!goes_on || goes_on(baton));
         apr_pool_clear(once)) {
        rv = wait_once(some, h, s, once, why);
        if (rv != APR_SUCCESS)
            *why = apr_pstrdup(p, *why);
    }
    apr_pool_destroy(once);
    return rv;
}
