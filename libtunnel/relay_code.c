/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_code.h"
#include "relay_actor_json.h"
#include "relay_name.h"
#include "relay_record.h"
#include "relay_secret.h"
#include "relay_words.h"

#include <apr_lib.h>
#include <stdlib.h>
#include <string.h>

int relay_code_parse(const char **id, const char **hash, const char *text, apr_pool_t *p)
{
    char code[RELAY_CODE_LEN + 1];
    apr_size_t n = 0;

    for (; *text; text++) {
        char c = (char)apr_tolower(*text);

        if (c == '-' || c == ' ')
            continue;
        if (n == RELAY_CODE_LEN || !strchr(RELAY_SECRET_BASE32, c))
            return 0;
        code[n++] = c;
    }
    if (n != RELAY_CODE_LEN)
        return 0;
    *hash = relay_secret_hash(code, n, p);
    *id = apr_pstrndup(p, *hash, RELAY_CODE_ID_LEN);
    return 1;
}

/* ---- making */

static apr_status_t check_request(const relay_code_request *req, apr_pool_t *p, const char **why)
{
    apr_status_t rv;

    if (req->uses < 1 || req->uses > RELAY_CODE_USES_MAX) {
        RELAY_WHY(why, p, "a code lets 1 to %d devices in", RELAY_CODE_USES_MAX);
        return RELAY_EINPUT;
    }
    if ((rv = relay_words_tenant(req->tenant, p, why)) != APR_SUCCESS ||
        (rv = relay_words_label(req->label, p, why)) != APR_SUCCESS)
        return rv;
    return relay_words_ttl(req->ttl, "the code", p, why);
}

/* Groups with dashes between them. */
static apr_status_t random_code(const char **out, apr_pool_t *p, const char **why)
{
    char code[RELAY_CODE_LEN + 1];
    apr_status_t rv = relay_secret_random(code, RELAY_CODE_LEN, p, why);

    *out = "";
    for (int i = 0; rv == APR_SUCCESS && i < RELAY_CODE_LEN; i += RELAY_CODE_GROUP)
        *out = apr_psprintf(p, "%s%s%.*s", *out, i ? "-" : "", RELAY_CODE_GROUP, code + i);
    return rv;
}

/* The argument of code_new.lua. */
static const char *request_json(const char *id, const char *hash, const relay_config *cfg,
                                const relay_code_request *req, apr_time_t latest, apr_pool_t *p)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:o, s:o*}", "id", id, "hash",
                  hash, "tenant", relay_actor_text(req->tenant), "label",
                  relay_actor_text(req->label), "uses", (json_int_t)req->uses, "approval",
                  req->approval ? "on" : "off", "ttl", (json_int_t)apr_time_as_msec(req->ttl),
                  "latest", (json_int_t)apr_time_as_msec(latest), "relay", cfg->name, "actor",
                  relay_actor_json(&req->actor), "once", relay_once_json(req->once));

    return relay_json_argument(json, p);
}

static apr_status_t read_made(relay_code *c, const char **text, const redisReply *reply,
                              const relay_code_request *req, apr_pool_t *p, const char **why)
{
    const char *what = relay_script_word(reply, 0);

    if (strcmp(what, "other") == 0)
        return RELAY_EREUSED;
    if (strcmp(what, "full") == 0 || strcmp(what, "id") == 0) {
        RELAY_WHY(why, p,
                  *what == 'f' ? "there are 10000 codes: revoke some first"
                               : "such a code is there already: try again");
        return RELAY_EREFUSED;
    }
    *c = (relay_code){.id = apr_pstrdup(p, relay_script_word(reply, 1)),
                      .tenant = apr_pstrdup(p, relay_actor_text(req->tenant)),
                      .label = apr_pstrdup(p, relay_actor_text(req->label)),
                      .by = apr_pstrdup(p, relay_actor_text(req->actor.by)),
                      .uses = req->uses,
                      .approval = req->approval};
    if (strcmp(what, "again") == 0) {
        *text = NULL;
        return APR_SUCCESS;
    }
    if (strcmp(what, "ok") != 0 || !relay_time_parse(&c->created, relay_script_word(reply, 2)) ||
        !relay_time_parse(&c->expires, relay_script_word(reply, 3)))
        return relay_script_unknown(RELAY_SCRIPT_CODE_NEW, p, why);
    return APR_SUCCESS;
}

apr_status_t relay_code_make(relay_code *c, const char **text, relay_store *s,
                             const relay_config *cfg, const relay_code_request *req, apr_pool_t *p,
                             const char **why)
{
    const char *id, *hash, *json;
    redisReply *reply;
    apr_time_t latest;
    apr_status_t rv;

    if ((rv = check_request(req, p, why)) != APR_SUCCESS ||
        (rv = random_code(text, p, why)) != APR_SUCCESS ||
        (rv = relay_store_deadline(&latest, s, p, why)) != APR_SUCCESS)
        return rv;
    if (!relay_code_parse(&id, &hash, *text, p))
        return APR_EGENERAL;
    json = request_json(id, hash, cfg, req, latest, p);
    rv = relay_store_script(s, &reply, RELAY_SCRIPT_CODE_NEW, 1, &json, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    rv = read_made(c, text, reply, req, p, why);
    freeReplyObject(reply);
    return rv;
}

/* ---- listing and revoking */

static void *read_code(const char **tenant, const redisReply *hash, apr_pool_t *p)
{
    relay_code *c = apr_pcalloc(p, sizeof(*c));
    const char *whose = relay_record_field(hash, "tenant");

    if (!relay_form_label(&c->id, relay_record_field(hash, "id"), p) || !whose ||
        (*whose && !relay_form_label(&whose, whose, p)) ||
        !relay_form_text(&c->label, relay_record_field(hash, "label"), p) ||
        !relay_form_text(&c->by, relay_record_field(hash, "by"), p) ||
        !relay_form_number(&c->uses, relay_record_field(hash, "uses"), p) ||
        !relay_form_number(&c->used, relay_record_field(hash, "used"), p) ||
        !relay_form_switch(&c->approval, relay_record_field(hash, "approval"), p) ||
        !relay_form_time(&c->created, relay_record_field(hash, "created"), p) ||
        !relay_form_time(&c->expires, relay_record_field(hash, "expires"), p))
        return NULL;
    *tenant = c->tenant = apr_pstrdup(p, whose);
    return c;
}

const relay_rows relay_code_rows = {"code", RELAY_PAGE_CODES, RELAY_KEYNAME_CODE, read_code};

apr_status_t relay_code_revoke(relay_store *s, const relay_config *cfg, const char *id,
                               const relay_actor *actor, apr_pool_t *p, const char **why)
{
    return relay_rows_remove(&relay_code_rows, RELAY_SCRIPT_CODE_REVOKE, s, cfg, id, actor, p, why);
}
