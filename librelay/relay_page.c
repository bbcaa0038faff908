/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_page.h"
#include "relay_actor.h"
#include "relay_record.h"

#include <string.h>

static apr_status_t read_page(relay_page *page, const redisReply *reply, apr_pool_t *p,
                              const char **why)
{
    if (strcmp(relay_script_word(reply, 0), "ok") != 0 || reply->elements < 4 ||
        reply->elements > 4 + RELAY_PAGE_MAX)
        return relay_script_unknown(RELAY_SCRIPT_PAGE, p, why);
    page->nids = (int)reply->elements - 4;
    for (int i = 0; i < page->nids; i++)
        page->ids[i] = apr_pstrdup(p, relay_script_word(reply, 4 + (apr_size_t)i));
    page->more = strcmp(relay_script_word(reply, 1), "more") == 0;
    if (!page->more)
        return APR_SUCCESS;
    page->id = apr_pstrdup(p, relay_script_word(reply, 3));
    return relay_time_parse(&page->after, relay_script_word(reply, 2))
               ? APR_SUCCESS
               : relay_script_unknown(RELAY_SCRIPT_PAGE, p, why);
}

apr_status_t relay_page_read(relay_page *page, relay_store *s, const char *what, apr_pool_t *p,
                             const char **why)
{
    apr_int64_t after = page->id ? apr_time_as_msec(page->after) : 0;
    const char *args[] = {what,
                          page->tenant ? page->tenant : RELAY_TENANT_ALL,
                          relay_actor_text(page->device),
                          apr_psprintf(p, "%" APR_INT64_T_FMT, after),
                          relay_actor_text(page->id),
                          apr_itoa(p, page->count)};
    redisReply *reply;
    apr_status_t rv = relay_store_script(s, &reply, RELAY_SCRIPT_PAGE, 6, args, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    rv = read_page(page, reply, p, why);
    freeReplyObject(reply);
    return rv;
}
