/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "output.h"
#include "relay_device.h"
#include "relay_fleet_json.h"
#include "verbs.h"
#include "way.h"

#include <stdio.h>

static void print_list(rly *r, const apr_array_header_t *devices)
{
    static const char *const headings[] = {"ID",   "TENANT",   "LABEL", "APPROVED",
                                           "SEEN", "ENROLLED", "BY",    "FROM"};
    rly_table *table = rly_table_create(r->p, 8, headings);

    for (int i = 0; i < devices->nelts; i++) {
        const relay_device *d = APR_ARRAY_IDX(devices, i, relay_device *);

        rly_table_add(table,
                      (const char *[]){d->id, d->tenant, d->label, d->approved ? "yes" : "no",
                                       rly_time_local(d->seen, r->p),
                                       rly_time_local(d->created, r->p), d->by, d->from});
    }
    rly_table_print(table);
}

static int list_devices(rly *r, const rly_options *o, int n, const char *const *operands)
{
    apr_array_header_t *devices;
    const char *why = NULL;
    apr_status_t rv = r->way->device_list(&devices, r, o->tenant, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    if (o->json)
        return rly_json_print(relay_rows_json("devices", devices, relay_device_json, r->p));
    if (devices->nelts)
        print_list(r, devices);
    else
        puts("No device has enrolled.");
    return RLY_DONE;
}

static int show_device(rly *r, const rly_options *o, int n, const char *const *operands)
{
    apr_array_header_t *one = apr_array_make(r->p, 1, sizeof(relay_device *));
    const char *why = NULL;
    relay_device *device;
    apr_status_t rv = r->way->device_find(&device, r, operands[0], &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    if (o->json)
        return rly_json_print(relay_device_json(device, r->p));
    APR_ARRAY_PUSH(one, relay_device *) = device;
    print_list(r, one);
    return RLY_DONE;
}

/* ---- changing */

static int alter(rly *r, const char *id, const relay_device_change *change, const char *done)
{
    const char *why = NULL;
    apr_status_t rv = r->way->device_alter(r, id, change, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, why);
    printf("%s %s\n", done, id);
    return RLY_DONE;
}

static int approve_one(rly *r, const char *id)
{
    return alter(r, id, &(relay_device_change){NULL, 1}, "approved");
}

static int suspend_one(rly *r, const char *id)
{
    return alter(r, id, &(relay_device_change){NULL, 0}, "suspended");
}

static int approve_devices(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, approve_one);
}

static int suspend_devices(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, suspend_one);
}

static int label_device(rly *r, const rly_options *o, int n, const char *const *operands)
{
    if (!*operands[1])
        return rly_usage_error(r, "a device has to be called something");
    return alter(r, operands[0], &(relay_device_change){operands[1], -1}, "labelled");
}

static int remove_one(rly *r, const char *id)
{
    const char *why = NULL;
    apr_status_t rv = r->way->device_remove(r, id, &why);

    if (rv != APR_SUCCESS)
        return rly_fail(rv, apr_psprintf(r->p, "cannot remove %s: %s", id, why));
    printf("removed %s\n", id);
    return RLY_DONE;
}

static int remove_devices(rly *r, const rly_options *o, int n, const char *const *operands)
{
    return rly_for_each(r, n, operands, remove_one);
}

static int run(rly *r, int argc, const char *const *argv)
{
    static const char which[] = "which device? Give its id; rly device list shows them";
    static const rly_verb verbs[] = {{"list", list_devices, 0, 0, "list takes no operands"},
                                     {"show", show_device, 1, 1, which},
                                     {"approve", approve_devices, 1, RLY_ANY_NUMBER, which},
                                     {"suspend", suspend_devices, 1, RLY_ANY_NUMBER, which},
                                     {"label", label_device, 2, 2,
                                      "label takes an id, and what the device is called"},
                                     {"remove", remove_devices, 1, RLY_ANY_NUMBER, which},
                                     {NULL, NULL, 0, 0, NULL}};

    return rly_verbs_run(r, argc, argv, verbs);
}

const rly_command rly_cmd_device = {
    .name = "device",
    .summary = "list, approve, label and remove devices that enrolled",
    .takes = "Ej",
    .usage = "[--tenant TENANT] [--json] list|show|approve|suspend|label|remove [ID...] [LABEL]",
    .about = "Devices enrol with a code (rly code). `list' shows all of them, the oldest first, or "
             "those of one TENANT; `show' one. `approve' lets those that wait do something, and "
             "`suspend' takes that back. `label' calls a device otherwise. `remove' forgets "
             "devices: their tokens are good for nothing.\n",
    .examples = "  rly device list --json | jq -r '.devices[] | select(.approved | not) | .id'\n"
                "  rly device approve 2kqv5d7mzu3fhw4a\n"
                "  rly device label 2kqv5d7mzu3fhw4a 'till 7'\n",
    .run = run};
