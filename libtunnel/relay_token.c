/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_token.h"
#include "relay_actor_json.h"
#include "relay_name.h"
#include "relay_record.h"
#include "relay_secret.h"
#include "relay_words.h"

#include <stdlib.h>
#include <string.h>

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
    return relay_secret_parse(id, RELAY_TOKEN_BEGINS, text, len);
}

/* ---- making */

static apr_status_t check_request(const relay_token_request *req, apr_pool_t *p, const char **why)
{
    apr_status_t rv;

    if (!relay_token_rights(req->role)) {
        RELAY_WHY(why, p, "`%.60s' is no role: there are %s", req->role, relay_token_roles + 2);
        return RELAY_EINPUT;
    }
    if ((rv = relay_words_tenant(req->tenant, p, why)) != APR_SUCCESS ||
        (rv = relay_words_label(req->label, p, why)) != APR_SUCCESS)
        return rv;
    return relay_words_ttl(req->ttl, "the token", p, why);
}

/* The argument of token_new.lua. */
static const char *request_json(const char *id, const char *text, const relay_config *cfg,
                                const relay_token_request *req, apr_time_t latest, apr_pool_t *p)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:o*}", "id", id, "hash",
                  relay_secret_hash(text, strlen(text), p), "role", req->role, "tenant",
                  req->tenant ? req->tenant : RELAY_TENANT_ALL, "label",
                  req->label ? req->label : "", "ttl", (json_int_t)apr_time_as_msec(req->ttl),
                  "latest", (json_int_t)apr_time_as_msec(latest), "relay", cfg->name, "actor",
                  relay_actor_json(&req->actor), "once", relay_once_json(req->once));

    return relay_json_argument(json, p);
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
    char id[RELAY_TOKEN_ID_LEN + 1];
    const char *json, *made = NULL;
    redisReply *reply;
    apr_time_t latest;
    apr_status_t rv;

    if ((rv = check_request(req, p, why)) != APR_SUCCESS ||
        (rv = relay_secret_make(&made, id, RELAY_TOKEN_BEGINS, p, why)) != APR_SUCCESS ||
        (rv = relay_store_deadline(&latest, s, p, why)) != APR_SUCCESS)
        return rv;
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
    args[1] = relay_secret_hash(text, len, p);
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

static void *read_token(const char **tenant, const redisReply *hash, apr_pool_t *p)
{
    relay_token *t = apr_pcalloc(p, sizeof(*t));
    const char *whose = relay_record_field(hash, "tenant");

    if (!relay_form_label(&t->id, relay_record_field(hash, "id"), p) ||
        !relay_form_text(&t->role, relay_record_field(hash, "role"), p) || !whose ||
        !has_tenant(whose) || !relay_form_text(&t->label, relay_record_field(hash, "label"), p) ||
        !relay_form_text(&t->by, relay_record_field(hash, "by"), p) ||
        !relay_form_time(&t->created, relay_record_field(hash, "created"), p) ||
        !relay_form_time(&t->expires, relay_record_field(hash, "expires"), p))
        return NULL;
    t->tenant = tenant_of(whose, p);
    *tenant = apr_pstrdup(p, whose);
    return t;
}

const relay_rows relay_token_rows = {"token", RELAY_PAGE_TOKENS, RELAY_KEYNAME_TOKEN, read_token};

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
    return rv == RELAY_ENOTFOUND ? relay_rows_none(&relay_token_rows, id, p, why) : rv;
}
