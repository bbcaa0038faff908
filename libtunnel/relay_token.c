/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_token.h"
#include "relay_actor_json.h"
#include "relay_duration.h"
#include "relay_log.h"
#include "relay_name.h"
#include "relay_record.h"
#include "relay_text.h"

#include <apr_general.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BASE32 "abcdefghijklmnopqrstuvwxyz234567"
#define LIST_BATCH RELAY_PAGE_MAX

#define ROLE_NAME(NAME, text, rights) ", " text
const char relay_token_roles[] = "" RELAY_TOKEN_ROLES(ROLE_NAME);
#undef ROLE_NAME

int relay_token_rights(const char *role)
{
#define ROLE_RIGHTS(NAME, text, rights) {text, rights},
    static const struct {
        const char *name;
        int rights;
    } roles[] = {RELAY_TOKEN_ROLES(ROLE_RIGHTS)};
#undef ROLE_RIGHTS

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(role, roles[i].name) == 0)
            return roles[i].rights;
    return 0;
}

int relay_token_parse(char *id, const char *text, apr_size_t len)
{
    static const char begins[] = RELAY_TOKEN_BEGINS;
    const char *at = text + sizeof(begins) - 1;

    if (len != RELAY_TOKEN_LEN || memcmp(text, begins, sizeof(begins) - 1) != 0)
        return 0;
    for (apr_size_t i = sizeof(begins) - 1; i < len; i++) {
        int is_mark = i == sizeof(begins) - 1 + RELAY_TOKEN_ID_LEN;

        if (!text[i] || (is_mark ? text[i] != '_' : !strchr(BASE32, text[i])))
            return 0;
    }
    memcpy(id, at, RELAY_TOKEN_ID_LEN);
    id[RELAY_TOKEN_ID_LEN] = '\0';
    return 1;
}

const char *relay_token_hash(const void *data, apr_size_t len, apr_pool_t *p)
{
    unsigned char digest[32];
    unsigned n = 0;
    char *text = apr_palloc(p, 2 * sizeof(digest) + 1);

    if (!EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL) || n != sizeof(digest))
        abort(); /* a libcrypto without SHA-256 */
    for (n = 0; n < sizeof(digest); n++)
        apr_snprintf(text + (size_t)2 * n, 3, "%02x", digest[n]);
    return text;
}

/* ---- making */

static apr_status_t check_request(const relay_token_request *req, apr_pool_t *p, const char **why)
{
    const char *fault = NULL;

    if (!relay_token_rights(req->role)) {
        RELAY_WHY(why, p, "`%.60s' is no role: there are %s", req->role, relay_token_roles + 2);
        return RELAY_EINPUT;
    }
    if (req->tenant &&
        relay_name_check(req->tenant, strlen(req->tenant), p, &fault) != APR_SUCCESS) {
        RELAY_WHY(why, p, "`%.80s' cannot be a tenant, which is written as a name is: %s",
                  req->tenant, fault);
        return RELAY_EINPUT;
    }
    if (req->label &&
        (strlen(req->label) > RELAY_TOKEN_LABEL_MAX || !relay_text_is_plain(req->label))) {
        RELAY_WHY(why, p,
                  "the label must be at most %d bytes of UTF-8 without control characters and "
                  "marks that turn the direction of text",
                  RELAY_TOKEN_LABEL_MAX);
        return RELAY_EINPUT;
    }
    if (req->ttl <= 0) {
        RELAY_WHY(why, p, "the token has to live for some time, for example 12h or 90d");
        return RELAY_EINPUT;
    }
    return APR_SUCCESS;
}

/* `relay_ID_SECRET`. */
static apr_status_t random_text(char **out, apr_pool_t *p, const char **why)
{
    unsigned char bytes[RELAY_TOKEN_LEN];
    char *text = apr_pcalloc(p, RELAY_TOKEN_LEN + 1);
    apr_size_t begins = sizeof(RELAY_TOKEN_BEGINS) - 1, i;
    apr_status_t rv = apr_generate_random_bytes(bytes, sizeof(bytes));

    if (rv != APR_SUCCESS) {
        RELAY_WHY(why, p, "the kernel gives no random bytes");
        return rv;
    }
    memcpy(text, RELAY_TOKEN_BEGINS, begins);
    for (i = begins; i < RELAY_TOKEN_LEN; i++)
        text[i] = BASE32[bytes[i] & 31];
    text[begins + RELAY_TOKEN_ID_LEN] = '_';
    *out = text;
    return APR_SUCCESS;
}

/* The argument of token_new.lua. */
static const char *request_json(const char *id, const char *text, const relay_config *cfg,
                                const relay_token_request *req, apr_time_t latest, apr_pool_t *p)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:o*}", "id", id, "hash",
                  relay_token_hash(text, strlen(text), p), "role", req->role, "tenant",
                  req->tenant ? req->tenant : RELAY_TENANT_ALL, "label",
                  req->label ? req->label : "", "ttl", (json_int_t)apr_time_as_msec(req->ttl),
                  "latest", (json_int_t)apr_time_as_msec(latest), "relay", cfg->name, "actor",
                  relay_actor_json(&req->actor), "once", relay_once_json(req->once));
    char *dumped = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *copy = apr_pstrdup(p, dumped ? dumped : "{}");

    free(dumped);
    json_decref(json);
    return copy;
}

static apr_status_t read_made(relay_token *t, const char **text, const redisReply *reply,
                              const relay_token_request *req, apr_pool_t *p, const char **why)
{
    const char *what = relay_script_word(reply, 0);

    if (strcmp(what, "other") == 0)
        return RELAY_EREUSED;
    if (strcmp(what, "full") == 0 || strcmp(what, "id") == 0) {
        RELAY_WHY(why, p,
                  *what == 'f' ? "there are 10000 tokens: revoke some first"
                               : "the id of the new token is taken: try again");
        return RELAY_EREFUSED;
    }
    *t = (relay_token){.id = apr_pstrdup(p, relay_script_word(reply, 1)),
                       .role = apr_pstrdup(p, req->role),
                       .tenant = apr_pstrdup(p, req->tenant),
                       .label = apr_pstrdup(p, relay_actor_text(req->label)),
                       .by = apr_pstrdup(p, relay_actor_text(req->actor.by))};
    if (strcmp(what, "again") == 0) {
        *text = NULL;
        return APR_SUCCESS;
    }
    if (strcmp(what, "ok") || !relay_time_parse(&t->created, relay_script_word(reply, 2)) ||
        !relay_time_parse(&t->expires, relay_script_word(reply, 3)))
        return relay_script_unknown(RELAY_SCRIPT_TOKEN_NEW, p, why);
    return APR_SUCCESS;
}

apr_status_t relay_token_make(relay_token *t, const char **text, relay_store *s,
                              const relay_config *cfg, const relay_token_request *req,
                              apr_pool_t *p, const char **why)
{
    char id[RELAY_TOKEN_ID_LEN + 1] = "", *made = NULL;
    const char *json;
    redisReply *reply;
    apr_time_t latest;
    apr_status_t rv;

    if ((rv = check_request(req, p, why)) != APR_SUCCESS ||
        (rv = random_text(&made, p, why)) != APR_SUCCESS ||
        (rv = relay_store_deadline(&latest, s, p, why)) != APR_SUCCESS)
        return rv;
    relay_token_parse(id, made, RELAY_TOKEN_LEN);
    *text = made;
    json = request_json(id, made, cfg, req, latest, p);
    if ((rv = relay_store_script(s, &reply, RELAY_SCRIPT_TOKEN_NEW, 1, &json, p, why)) !=
        APR_SUCCESS)
        return rv;
    rv = read_made(t, text, reply, req, p, why);
    freeReplyObject(reply);
    return rv;
}

/* ---- using */

static const char *tenant_of(const char *text, apr_pool_t *p)
{
    return strcmp(text, RELAY_TENANT_ALL) == 0 ? NULL : apr_pstrdup(p, text);
}

/* A record whose tenant has not its form must not count as all of them. */
static int has_tenant(const char *text)
{
    return strcmp(text, RELAY_TENANT_ALL) == 0 ||
           relay_name_check(text, strlen(text), NULL, NULL) == APR_SUCCESS;
}

static apr_status_t read_admitted(relay_token *t, const redisReply *reply, const char *id,
                                  apr_interval_time_t *wait, apr_pool_t *p, const char **why)
{
    const char *what = relay_script_word(reply, 0), *tenant = relay_script_word(reply, 2);
    apr_int64_t ms = 0;

    if (strcmp(what, "none") == 0)
        return RELAY_ENOTFOUND;
    if (strcmp(what, "slow") == 0 && relay_number_parse(&ms, relay_script_word(reply, 1), 9)) {
        *wait = apr_time_from_msec(ms);
        return RELAY_EREFUSED;
    }
    if (strcmp(what, "ok") != 0 || !relay_token_rights(relay_script_word(reply, 1)) ||
        !has_tenant(tenant)) {
        RELAY_WHY(why, p, "record token:%s cannot be used: it is malformed or of a newer version",
                  id);
        return RELAY_ERECORD;
    }
    *t = (relay_token){.id = apr_pstrdup(p, id),
                       .role = apr_pstrdup(p, relay_script_word(reply, 1)),
                       .tenant = tenant_of(tenant, p),
                       .label = apr_pstrdup(p, relay_script_word(reply, 3))};
    return APR_SUCCESS;
}

apr_status_t relay_token_admit(relay_token *t, relay_store *s, const char *text, apr_size_t len,
                               int limit, apr_interval_time_t *wait, apr_pool_t *p,
                               const char **why)
{
    char id[RELAY_TOKEN_ID_LEN + 1];
    const char *args[3];
    redisReply *reply;
    apr_status_t rv;

    if (!relay_token_parse(id, text, len))
        return RELAY_ENOTFOUND;
    args[0] = id;
    args[1] = relay_token_hash(text, len, p);
    args[2] = apr_itoa(p, limit);
    if ((rv = relay_store_script(s, &reply, RELAY_SCRIPT_ADMIT, 3, args, p, why)) != APR_SUCCESS)
        return rv;
    rv = read_admitted(t, reply, id, wait, p, why);
    freeReplyObject(reply);
    return rv;
}

apr_status_t relay_token_count(relay_store *s, const char *who, int limit,
                               apr_interval_time_t *wait, apr_pool_t *p, const char **why)
{
    const char *args[] = {who, "", apr_itoa(p, limit)};
    redisReply *reply;
    apr_int64_t ms = 0;
    apr_status_t rv = relay_store_script(s, &reply, RELAY_SCRIPT_ADMIT, 3, args, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(relay_script_word(reply, 0), "slow") == 0 &&
        relay_number_parse(&ms, relay_script_word(reply, 1), 9)) {
        *wait = apr_time_from_msec(ms);
        rv = RELAY_EREFUSED;
    }
    freeReplyObject(reply);
    return rv;
}

/* ---- listing and revoking */

static int read_token(relay_token *t, const redisReply *hash, apr_pool_t *p)
{
    const char *tenant = relay_record_field(hash, "tenant");

    if (!relay_form_label(&t->id, relay_record_field(hash, "id"), p) ||
        !relay_form_text(&t->role, relay_record_field(hash, "role"), p) || !tenant ||
        !has_tenant(tenant) || !relay_form_text(&t->label, relay_record_field(hash, "label"), p) ||
        !relay_form_text(&t->by, relay_record_field(hash, "by"), p) ||
        !relay_form_time(&t->created, relay_record_field(hash, "created"), p) ||
        !relay_form_time(&t->expires, relay_record_field(hash, "expires"), p))
        return 0;
    t->tenant = tenant_of(tenant, p);
    return 1;
}

static apr_status_t add_batch(apr_array_header_t *list, relay_store *s, const char *tenant,
                              const char *const *ids, int n, apr_pool_t *p, const char **why)
{
    const char *argv[LIST_BATCH][2];
    relay_store_cmd cmds[LIST_BATCH] = {{0}};
    redisReply *replies[LIST_BATCH];
    apr_status_t rv;
    int i;

    for (i = 0; i < n; i++) {
        argv[i][0] = "HGETALL";
        argv[i][1] = relay_store_key(s, p, RELAY_KEYNAME_TOKEN, ids[i]);
        cmds[i] = (relay_store_cmd){2, argv[i], NULL};
    }
    if ((rv = relay_store_read(s, cmds, n, replies, p, why)) != APR_SUCCESS)
        return rv;
    for (i = 0; i < n && rv != RELAY_EUNREACHABLE; i++) {
        const char *fault = "it is malformed";
        relay_token *t = apr_pcalloc(p, sizeof(*t));

        rv = relay_record_check(replies[i], s, argv[i][1], p, &fault);
        if (rv == RELAY_ENOTFOUND) /* it has ended since */
            continue;
        if (rv == RELAY_EUNREACHABLE)
            RELAY_WHY(why, p, "%s", fault);
        else if (rv != APR_SUCCESS || !read_token(t, replies[i], p))
            relay_log(RELAY_LOG_WARNING, "RLY003 token %s is left out: %s", ids[i], fault);
        else if (!tenant || (t->tenant && strcmp(t->tenant, tenant) == 0))
            APR_ARRAY_PUSH(list, relay_token *) = t;
    }
    relay_store_free(replies, n);
    return rv == RELAY_EUNREACHABLE ? rv : APR_SUCCESS;
}

apr_status_t relay_token_list(apr_array_header_t **out, relay_store *s, const char *tenant,
                              apr_pool_t *p, const char **why)
{
    const char *argv[] = {"ZRANGE", relay_store_key(s, p, RELAY_KEYNAME_TOKENS, ""), "0", "-1"};
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(relay_token *));
    const char *batch[LIST_BATCH];
    redisReply *ids;
    apr_status_t rv = relay_store_command(s, &ids, 4, argv, NULL, p, why);
    int i, n, total;

    if (rv != APR_SUCCESS)
        return rv;
    total = ids->type == REDIS_REPLY_ARRAY ? (int)ids->elements : 0;
    for (i = 0; i < total && rv == APR_SUCCESS; i += n) {
        n = total - i < LIST_BATCH ? total - i : LIST_BATCH;
        for (int j = 0; j < n; j++)
            batch[j] = relay_script_text(ids->element[i + j]);
        rv = add_batch(list, s, tenant, batch, n, p, why);
    }
    freeReplyObject(ids);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

apr_status_t relay_token_page(apr_array_header_t **out, relay_page *page, relay_store *s,
                              apr_pool_t *p, const char **why)
{
    apr_array_header_t *list = apr_array_make(p, page->count, sizeof(relay_token *));
    apr_status_t rv = relay_page_read(page, s, RELAY_PAGE_TOKENS, p, why);

    if (rv == APR_SUCCESS)
        rv = add_batch(list, s, page->tenant, page->ids, page->nids, p, why);
    if (rv == APR_SUCCESS)
        *out = list;
    return rv;
}

apr_status_t relay_token_revoke(apr_array_header_t **ids, relay_store *s, const relay_config *cfg,
                                const char *id, const relay_actor *actor, apr_pool_t *p,
                                const char **why)
{
    const char *args[] = {
        id,        relay_actor_tenant(actor),     cfg->name,
        actor->by, relay_actor_text(actor->from), relay_actor_text(actor->request)};
    redisReply *reply;
    apr_status_t rv = APR_SUCCESS;

    if (relay_name_check(id, strlen(id), NULL, NULL) != APR_SUCCESS)
        rv = RELAY_ENOTFOUND;
    else if ((rv = relay_store_script(s, &reply, RELAY_SCRIPT_TOKEN_REVOKE, 6, args, p, why)) ==
             APR_SUCCESS) {
        if (strcmp(relay_script_word(reply, 0), "ok") != 0)
            rv = RELAY_ENOTFOUND;
        *ids = apr_array_make(p, 1, sizeof(const char *));
        for (apr_size_t i = 1; i < reply->elements; i++)
            APR_ARRAY_PUSH(*ids, const char *) = apr_pstrdup(p, relay_script_word(reply, i));
        freeReplyObject(reply);
    }
    if (rv == RELAY_ENOTFOUND)
        RELAY_WHY(why, p, "there is no token with the id `%.80s'", id);
    return rv;
}
