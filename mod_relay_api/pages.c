/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "pages.h"
#include "answer.h"
#include "query.h"
#include "relay_fleet_json.h"
#include "relay_record.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200

int api_page_limit(api_call *c, int *count, int *answer)
{
    const char *limit = apr_table_get(c->query, "limit");
    apr_int64_t n = PAGE_DEFAULT;

    if (limit && (!relay_number_parse(&n, limit, 4) || n < 1 || n > PAGE_MAX)) {
        *answer =
            api_problem_of(c, API_MALFORMED, "limit", "limit is a number from 1 to %d", PAGE_MAX);
        return 0;
    }
    *count = (int)n;
    return 1;
}

int api_page_read(api_call *c, relay_page *page, int *answer)
{
    const char *cursor = apr_table_get(c->query, "cursor");

    if (!api_page_limit(c, &page->count, answer))
        return 0;
    if (cursor && !api_cursor_parse(&page->after, &page->id, cursor, c->p)) {
        *answer =
            api_problem_of(c, API_MALFORMED, "cursor", "cursor is not the `next' of an answer");
        return 0;
    }
    page->tenant = c->token.tenant;
    return 1;
}

json_t *api_page_next(const api_call *c, const relay_page *page)
{
    return page->more ? json_string(api_cursor_print(page->after, page->id, c->p)) : json_null();
}

int api_page_answer(api_call *c, const relay_rows *rows, const char *name,
                    json_t *(*one)(const void *row, apr_pool_t *p))
{
    const char *tenant = apr_table_get(c->query, "tenant"), *why = NULL;
    apr_array_header_t *found = apr_array_make(c->p, 0, sizeof(void *));
    relay_page page = {.device = NULL};
    json_t *json;
    apr_status_t rv = APR_SUCCESS;
    int refused;

    if (!api_page_read(c, &page, &refused))
        return refused;
    if (!page.tenant)
        page.tenant = tenant;
    /* Of another tenant there are none, as of one that has none. */
    if (!tenant || strcmp(tenant, page.tenant) == 0)
        rv = relay_rows_page(&found, rows, &page, c->store, c->p, &why);
    if (rv != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    json = relay_rows_json(name, found, one, c->p);
    json_object_set_new(json, "next", api_page_next(c, &page));
    return api_answer(c, HTTP_OK, json);
}
