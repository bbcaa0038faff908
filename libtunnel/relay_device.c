/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_device.h"
#include "relay_actor_json.h"
#include "relay_code.h"
#include "relay_name.h"
#include "relay_record.h"
#include "relay_secret.h"
#include "relay_words.h"

#include <stdlib.h>
#include <string.h>

/* ---- enrolling */

/* What one enrolment is known by. */
typedef struct papers {
    const char *code, *code_hash;
    char id[RELAY_SECRET_ID_LEN + 1], secret[RELAY_SECRET_SECRET_LEN + 1];
} papers;

/* The argument of enrol.lua. */
static const char *request_json(const papers *own, const relay_config *cfg,
                                const relay_enrolment *e, apr_time_t latest, apr_pool_t *p)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:o*}", "code", own->code,
                             "code_hash", own->code_hash, "id", own->id, "hash",
                             relay_secret_hash(own->secret, RELAY_SECRET_SECRET_LEN, p), "label",
                             relay_actor_text(e->label), "latest",
                             (json_int_t)apr_time_as_msec(latest), "relay", cfg->name, "actor",
                             relay_actor_json(&e->actor), "once", relay_once_json(e->once));

    return relay_json_argument(json, p);
}

static const struct {
    const char *what;
    apr_status_t rv;
    const char *why;
} refusals[] = {
    {"none", RELAY_ENOTFOUND, "there is no such code: it has ended, was revoked, or never was"},
    {"used", RELAY_EREFUSED, "this code has let in all the devices that it was made for"},
    {"gone", RELAY_EGONE, "the device that enrolled under this Idempotency-Key was removed"},
    {"taken", RELAY_EREFUSED,
     "a device enrolled under this Idempotency-Key, and has used its token since"},
    {"id", RELAY_EREFUSED, "the id of the new device is taken: try again"},
    {"other", RELAY_EREUSED, NULL},
    {"version", RELAY_ERECORD, "the record of the code is of a newer version"},
};

/* {'ok', id, tenant, label, approved, created} */
static apr_status_t read_enrolled(relay_device *d, const redisReply *reply, apr_pool_t *p,
                                  const char **why)
{
    const char *what = relay_script_word(reply, 0), *tenant = relay_script_word(reply, 2);

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strcmp(what, refusals[i].what) == 0) {
            RELAY_WHY(why, p, "%s", refusals[i].why ? refusals[i].why : "");
            return refusals[i].rv;
        }
    if (strcmp(what, "ok") != 0 || !relay_form_label(&d->id, relay_script_word(reply, 1), p) ||
        (*tenant && !relay_form_label(&tenant, tenant, p)) ||
        !relay_form_text(&d->label, relay_script_word(reply, 3), p) ||
        !relay_form_switch(&d->approved, relay_script_word(reply, 4), p) ||
        !relay_form_time(&d->created, relay_script_word(reply, 5), p))
        return relay_script_unknown(RELAY_SCRIPT_ENROL, p, why);
    d->tenant = apr_pstrdup(p, tenant);
    d->seen = d->created;
    return APR_SUCCESS;
}

apr_status_t relay_device_enrol(relay_device *d, const char **token, relay_store *s,
                                const relay_config *cfg, relay_enrolment *e, apr_pool_t *p,
                                const char **why)
{
    papers own;
    const char *json;
    redisReply *reply;
    apr_time_t latest;
    apr_status_t rv;

    if ((rv = relay_words_label(e->label, p, why)) != APR_SUCCESS)
        return rv;
    if (!relay_code_parse(&own.code, &own.code_hash, e->code, p)) {
        RELAY_WHY(why, p, "%s", refusals[0].why);
        return RELAY_ENOTFOUND;
    }
    if ((rv = relay_secret_random(own.id, RELAY_SECRET_ID_LEN, p, why)) != APR_SUCCESS ||
        (rv = relay_secret_random(own.secret, RELAY_SECRET_SECRET_LEN, p, why)) != APR_SUCCESS ||
        (rv = relay_store_deadline(&latest, s, p, why)) != APR_SUCCESS)
        return rv;
    e->actor.by = apr_pstrcat(p, "code:", own.code, NULL);
    if (e->once)
        e->once->owner = apr_pstrcat(p, "code-", own.code, NULL);
    json = request_json(&own, cfg, e, latest, p);
    if ((rv = relay_store_script(s, &reply, RELAY_SCRIPT_ENROL, 1, &json, p, why)) != APR_SUCCESS)
        return rv;
    *d = (relay_device){.by = e->actor.by, .from = relay_actor_text(e->actor.from)};
    rv = read_enrolled(d, reply, p, why);
    freeReplyObject(reply);
    if (rv == APR_SUCCESS)
        *token = apr_pstrcat(p, RELAY_DEVICE_BEGINS, d->id, "_", own.secret, NULL);
    return rv;
}

/* ---- what is there */

static void *read_device(const char **tenant, const redisReply *hash, apr_pool_t *p)
{
    relay_device *d = apr_pcalloc(p, sizeof(*d));
    const char *whose = relay_record_field(hash, "tenant");

    if (!relay_form_label(&d->id, relay_record_field(hash, "id"), p) || !whose ||
        (*whose && !relay_form_label(&whose, whose, p)) ||
        !relay_form_text(&d->label, relay_record_field(hash, "label"), p) ||
        !relay_form_text(&d->by, relay_record_field(hash, "by"), p) ||
        !relay_form_text(&d->from, relay_record_field(hash, "from"), p) ||
        !relay_form_switch(&d->approved, relay_record_field(hash, "approved"), p) ||
        !relay_form_time(&d->created, relay_record_field(hash, "created"), p) ||
        !relay_form_time(&d->seen, relay_record_field(hash, "seen"), p))
        return NULL;
    *tenant = d->tenant = apr_pstrdup(p, whose);
    return d;
}

const relay_rows relay_device_rows = {"device", RELAY_PAGE_DEVICES, RELAY_KEYNAME_DEVICE,
                                      read_device};

/* ---- changing */

apr_status_t relay_device_alter(relay_store *s, const relay_config *cfg, const char *id,
                                const relay_device_change *change, const relay_actor *actor,
                                apr_pool_t *p, const char **why)
{
    const char *args[] = {id,
                          relay_actor_tenant(actor),
                          change->approved < 0 ? ""
                          : change->approved   ? "on"
                                               : "off",
                          relay_actor_text(change->label),
                          cfg->name,
                          actor->by,
                          relay_actor_text(actor->from),
                          relay_actor_text(actor->request)};
    redisReply *reply;
    apr_status_t rv;

    if ((rv = relay_words_label(change->label, p, why)) != APR_SUCCESS)
        return rv;
    if (relay_name_check(id, strlen(id), NULL, NULL) != APR_SUCCESS)
        return relay_rows_none(&relay_device_rows, id, p, why);
    rv = relay_store_script(s, &reply, RELAY_SCRIPT_DEVICE_CHANGE, 8, args, p, why);
    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(relay_script_word(reply, 0), "none") == 0)
        rv = relay_rows_none(&relay_device_rows, id, p, why);
    else if (strcmp(relay_script_word(reply, 0), "version") == 0) {
        RELAY_WHY(why, p, "the record of device %s is of a newer version", id);
        rv = RELAY_ERECORD;
    }
    else if (strcmp(relay_script_word(reply, 0), "ok") != 0)
        rv = relay_script_unknown(RELAY_SCRIPT_DEVICE_CHANGE, p, why);
    freeReplyObject(reply);
    return rv;
}

apr_status_t relay_device_remove(relay_store *s, const relay_config *cfg, const char *id,
                                 const relay_actor *actor, apr_pool_t *p, const char **why)
{
    return relay_rows_remove(&relay_device_rows, RELAY_SCRIPT_DEVICE_REMOVE, s, cfg, id, actor, p,
                             why);
}
