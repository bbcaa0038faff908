/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz targets: what callers of the API send: URLs and fields, JSON, tokens. */

#include "fuzz.h"
#include "flat.h"
#include "member.h"
#include "query.h"
#include "relay_code.h"
#include "relay_name.h"
#include "relay_text.h"
#include "relay_token.h"

#define KNOWN "tenant device limit cursor "

static int is_plain(void *baton, const char *name, const char *value)
{
    MUST(strstr(KNOWN, name) && relay_text_is_plain(value));
    return 1;
}

/* The same bytes as parameters, as a cursor, and as fields. */
int fuzz_api_query(const char *text, size_t size, apr_pool_t *p)
{
    apr_table_t *table = NULL;
    const char *which = NULL, *why = NULL, *id = NULL, *token;
    apr_time_t expires = -1;
    int taken = api_query_parse(&table, text, KNOWN, p, &which, &why) == APR_SUCCESS;

    MUST(which && (taken ? table != NULL : why && *why));
    if (taken)
        apr_table_do(is_plain, NULL, table, NULL);
    if (api_cursor_parse(&expires, &id, text, p)) {
        const char *again, *printed = api_cursor_print(expires, id, p);

        MUST(expires >= 0 && relay_name_check(id, strlen(id), NULL, NULL) == APR_SUCCESS);
        MUST(api_cursor_parse(&expires, &again, printed, p) && strcmp(again, id) == 0);
        taken = 1;
    }
    if ((token = api_bearer(text)) != NULL)
        MUST(token >= text && token <= text + strlen(text));
    if (api_once_is_valid(text))
        MUST(strlen(text) <= 255 && fuzz_is_plain(text));
    api_wants_text(text);
    return taken;
}

typedef struct words {
    const char *text, *must;
    int on;
    apr_int64_t number;
    apr_array_header_t *texts, *nulls;
} words;

int fuzz_api_body(const char *text, size_t size, apr_pool_t *p)
{
    static const api_member members[] = {{"text", API_TEXT, 0, 1, offsetof(words, text)},
                                         {"must", API_TEXT, 1, 0, offsetof(words, must)},
                                         {"on", API_SWITCH, 0, 0, offsetof(words, on)},
                                         {"number", API_NUMBER, 0, 0, offsetof(words, number)},
                                         {"texts", API_TEXTS, 0, 0, offsetof(words, texts)},
                                         {"nulls", API_TEXTS, 0, 1, offsetof(words, nulls)},
                                         {NULL, API_TEXT, 0, 0, 0}};
    words w = {.text = NULL};
    api_fault fault = {NULL, NULL};
    const char *line;
    json_t *json;
    int lines = 0;

    if (api_members_read(&w, text, size, members, p, &fault) != APR_SUCCESS) {
        MUST(fault.member && fault.why && *fault.why);
        return 0;
    }
    MUST(w.must && relay_text_is_utf8(w.must) && (w.on == 0 || w.on == 1) && w.number >= 0);
    for (int i = 0; w.texts && i < w.texts->nelts; i++)
        MUST(relay_text_is_utf8(APR_ARRAY_IDX(w.texts, i, const char *)));
    MUST(!w.nulls || w.nulls->nelts <= API_MEMBERS_MAX);
    /* As lines: one for each value, and nothing that ends one. */
    json = json_pack("{s:s, s:[s]}", "a", w.must, "b", w.text ? w.text : "");
    line = api_flat(json, p);
    json_decref(json);
    MUST(strncmp(line, "a=", 2) == 0 && strstr(line, "\nb.0="));
    for (; *line; line++)
        lines += *line == '\n';
    MUST(lines == 2);
    return 1;
}

int fuzz_token(const char *text, size_t size, apr_pool_t *p)
{
    char id[RELAY_TOKEN_ID_LEN + 1] = "";
    char *exact = malloc(size ? size : 1); /* it must not read behind len: no NUL there */
    int taken;

    MUST(exact);
    memcpy(exact, text, size);
    taken = relay_token_parse(id, exact, size);
    free(exact);
    MUST(!taken ||
         (strlen(id) == RELAY_TOKEN_ID_LEN &&
          relay_name_check(id, strlen(id), NULL, NULL) == APR_SUCCESS && size == RELAY_TOKEN_LEN));
    return taken;
}

int fuzz_code(const char *text, size_t size, apr_pool_t *p)
{
    const char *id = NULL, *hash = NULL;
    int taken = relay_code_parse(&id, &hash, text, p);

    MUST(!taken || (strlen(id) == RELAY_CODE_ID_LEN && strlen(hash) == 64 &&
                    strncmp(id, hash, RELAY_CODE_ID_LEN) == 0 && strlen(text) >= RELAY_CODE_LEN));
    return taken;
}
