/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Devices: one enrols with a code, and those of the caller's tenant are listed, shown, approved,
 * called otherwise and removed. */

#include "answer.h"
#include "body.h"
#include "pages.h"
#include "relay_fleet_json.h"
#include "relay_tunnel_json.h"

#include <http_core.h>

/* ---- enrolling: nobody has a token yet */

typedef struct enrol_words {
    const char *code, *name;
} enrol_words;

/* Where a device reaches us: as it has done now, unless the administrator says something else. */
static json_t *trackers_json(const api_call *c)
{
    json_t *array = json_array();

    for (int i = 0; c->conf->trackers && i < c->conf->trackers->nelts; i++)
        json_array_append_new(
            array, relay_json_text(APR_ARRAY_IDX(c->conf->trackers, i, const char *), c->p));
    if (json_array_size(array) == 0)
        json_array_append_new(array, relay_json_text(ap_construct_url(c->p, "", c->r), c->p));
    return array;
}

static int answer_enrolled(api_call *c, const relay_device *d, const char *token)
{
    return api_answer(c, HTTP_CREATED,
                      json_pack("{s:i, s:o, s:o, s:o, s:b, s:s, s:o}", "v", 1, "device",
                                relay_json_text(d->id, c->p), "label",
                                relay_json_text(d->label, c->p), "tenant",
                                relay_json_text(*d->tenant ? d->tenant : NULL, c->p), "approved",
                                d->approved, "token", token, "trackers", trackers_json(c)));
}

int api_enrol(api_call *c)
{
    static const api_member members[] = {{"code", API_TEXT, 1, 0, offsetof(enrol_words, code)},
                                         {"name", API_TEXT, 0, 1, offsetof(enrol_words, name)},
                                         {NULL, API_TEXT, 0, 0, 0}};
    enrol_words words = {NULL, NULL};
    relay_enrolment e = {.actor = {.from = c->r->useragent_ip, .request = c->id}};
    const char *token, *why = NULL;
    relay_device d;
    apr_status_t rv;
    int refused;

    if (!api_body_read(c, &words, members, &refused))
        return refused;
    e.code = words.code;
    e.label = words.name;
    e.once = c->once;
    if ((rv = relay_device_enrol(&d, &token, c->store, c->cfg, &e, c->p, &why)) != APR_SUCCESS)
        return api_problem_why(c, rv, why);
    c->r->user = (char *)d.by; /* for the access log */
    return answer_enrolled(c, &d, token);
}

/* ---- those that are there */

int api_devices_list(api_call *c)
{
    return api_page_answer(c, &relay_device_rows, "devices", relay_device_json);
}

int api_devices_show(api_call *c)
{
    const char *why = NULL;
    void *device;
    apr_status_t rv = relay_rows_one(&device, &relay_device_rows, c->object, c->token.tenant,
                                     c->store, c->p, &why);

    return rv == APR_SUCCESS ? api_answer(c, HTTP_OK, relay_device_json(device, c->p))
                             : api_problem_why(c, rv, why);
}

typedef struct change_words {
    const char *label;
    int approved;
} change_words;

int api_devices_change(api_call *c)
{
    static const api_member members[] = {{"label", API_TEXT, 0, 0, offsetof(change_words, label)},
                                         {"approved", API_SWITCH, 0, 0,
                                          offsetof(change_words, approved)},
                                         {NULL, API_TEXT, 0, 0, 0}};
    change_words words = {.approved = -1};
    relay_device_change change;
    const char *why = NULL;
    apr_status_t rv;
    int refused;

    if (!api_body_read(c, &words, members, &refused))
        return refused;
    if (!words.label && words.approved < 0)
        return api_problem(c, API_MALFORMED, "there is nothing to change: give label or approved");
    if (words.label && !*words.label)
        return api_problem_of(c, API_UNACCEPTABLE, "label",
                              "label: a device has to be called "
                              "something");
    change = (relay_device_change){words.label, words.approved};
    rv = relay_device_alter(c->store, c->cfg, c->object, &change, &c->actor, c->p, &why);
    return rv == APR_SUCCESS ? api_devices_show(c) : api_problem_why(c, rv, why);
}

int api_devices_remove(api_call *c)
{
    const char *why = NULL;
    apr_status_t rv = relay_device_remove(c->store, c->cfg, c->object, &c->actor, c->p, &why);

    return rv == APR_SUCCESS ? api_answer_nothing(c) : api_problem_why(c, rv, why);
}
