/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_rows.h"
#include "relay_log.h"
#include "relay_name.h"
#include "relay_record.h"

#include <string.h>

static int may_see(const char *tenant, const char *whose)
{
    return !tenant || strcmp(whose, tenant) == 0;
}

static apr_status_t add_batch(apr_array_header_t *list, const relay_rows *rows, relay_store *s,
                              const relay_page *page, apr_pool_t *p, const char **why)
{
    const char *argv[RELAY_PAGE_MAX][2];
    relay_store_cmd cmds[RELAY_PAGE_MAX] = {{0}};
    redisReply *replies[RELAY_PAGE_MAX];
    apr_status_t rv;
    const int n = page->nids;
    int i;

    for (i = 0; i < n; i++) {
        argv[i][0] = "HGETALL";
        argv[i][1] = relay_store_key(s, p, rows->kind, page->ids[i]);
        cmds[i] = (relay_store_cmd){2, argv[i], NULL};
    }
    if ((rv = relay_store_read(s, cmds, n, replies, p, why)) != APR_SUCCESS)
        return rv;
    for (i = 0; i < n && rv != RELAY_EUNREACHABLE; i++) {
        const char *fault = "it is malformed", *whose = "";
        void *row = NULL;

        rv = relay_record_check(replies[i], s, argv[i][1], p, &fault);
        if (rv == RELAY_ENOTFOUND) /* it has ended since */
            continue;
        if (rv == RELAY_EUNREACHABLE)
            RELAY_WHY(why, p, "%s", fault);
        else if (rv != APR_SUCCESS || (row = rows->read(&whose, replies[i], p)) == NULL)
            relay_log(RELAY_LOG_WARNING, "RLY003 %s %s is left out: %s", rows->noun, page->ids[i],
                      fault);
        else if (may_see(page->tenant, whose))
            APR_ARRAY_PUSH(list, void *) = row;
    }
    relay_store_free(replies, n);
    return rv == RELAY_EUNREACHABLE ? rv : APR_SUCCESS;
}

static apr_status_t add_page(apr_array_header_t *list, const relay_rows *rows, relay_page *page,
                             relay_store *s, apr_pool_t *p, const char **why)
{
    apr_status_t rv = relay_page_read(page, s, rows->what, p, why);

    return rv == APR_SUCCESS && page->nids ? add_batch(list, rows, s, page, p, why) : rv;
}

apr_status_t relay_rows_page(apr_array_header_t **out, const relay_rows *rows, relay_page *page,
                             relay_store *s, apr_pool_t *p, const char **why)
{
    apr_array_header_t *list = apr_array_make(p, page->count, sizeof(void *));
    apr_status_t rv = add_page(list, rows, page, s, p, why);

    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

apr_status_t relay_rows_all(apr_array_header_t **out, const relay_rows *rows, const char *tenant,
                            relay_store *s, apr_pool_t *p, const char **why)
{
    relay_page *page = apr_pcalloc(p, sizeof(*page));
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(void *));
    apr_status_t rv;

    page->tenant = tenant;
    page->count = RELAY_PAGE_MAX;
    do
        rv = add_page(list, rows, page, s, p, why);
    while (rv == APR_SUCCESS && page->more);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

apr_status_t relay_rows_one(void **out, const relay_rows *rows, const char *id, const char *tenant,
                            relay_store *s, apr_pool_t *p, const char **why)
{
    const char *key, *whose = "";
    redisReply *hash;
    apr_status_t rv;
    void *row;

    if (relay_name_check(id, strlen(id), NULL, NULL) != APR_SUCCESS)
        return relay_rows_none(rows, id, p, why);
    key = relay_store_key(s, p, rows->kind, id);
    if ((rv = relay_record_load(&hash, s, key, p, why)) != APR_SUCCESS)
        return rv == RELAY_ENOTFOUND ? relay_rows_none(rows, id, p, why) : rv;
    row = rows->read(&whose, hash, p);
    freeReplyObject(hash);
    if (!row) {
        RELAY_WHY(why, p, "record %s is malformed", key);
        return RELAY_ERECORD;
    }
    if (!may_see(tenant, whose))
        return relay_rows_none(rows, id, p, why);
    *out = row;
    return APR_SUCCESS;
}

apr_status_t relay_rows_none(const relay_rows *rows, const char *id, apr_pool_t *p,
                             const char **why)
{
    RELAY_WHY(why, p, "there is no %s with the id `%.80s'", rows->noun, id);
    return RELAY_ENOTFOUND;
}

apr_status_t relay_rows_remove(const relay_rows *rows, relay_script_id script, relay_store *s,
                               const relay_config *cfg, const char *id, const relay_actor *actor,
                               apr_pool_t *p, const char **why)
{
    const char *args[] = {
        id,        relay_actor_tenant(actor),     cfg->name,
        actor->by, relay_actor_text(actor->from), relay_actor_text(actor->request)};
    redisReply *reply;
    apr_status_t rv;
    int done;

    if (relay_name_check(id, strlen(id), NULL, NULL) != APR_SUCCESS)
        return relay_rows_none(rows, id, p, why);
    if ((rv = relay_store_script(s, &reply, script, 6, args, p, why)) != APR_SUCCESS)
        return rv;
    done = strcmp(relay_script_word(reply, 0), "ok") == 0;
    freeReplyObject(reply);
    return done ? APR_SUCCESS : relay_rows_none(rows, id, p, why);
}
