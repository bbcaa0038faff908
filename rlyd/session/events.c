/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "events.h"
#include "ground/store.h"
#include "relay_event.h"
#include "relay_keyname.h"

/** @param more as relay_event_command() takes it */
static void append(rlyd *d, const char *what, const char *tunnel, const char *const *more)
{
    const char *argv[RELAY_EVENT_ARGV_MAX];
    char key[RELAY_KEYNAME_SIZE], by[96];
    relay_event event = {what, tunnel, d->cfg->name, by};
    int argc;

    apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
    relay_keyname_format(d->cfg, RELAY_KEYNAME_EVENTS, "", key, sizeof(key));
    argc = relay_event_command(argv, key, &event, more);
    redis_send(store_link(d), 0, NULL, 0, argc, argv);
}

void event_of(const session *s, const char *what, const char *field, const char *value)
{
    if (s->tunnel[0])
        append(s->d, what, s->tunnel,
               (const char *const[]){"peer", s->peer[0] ? s->peer : "?", "way",
                                     session_way_name(s->way), field, value, NULL});
}

void event_foreign(rlyd *d, const char *listen, uid_t uid)
{
    char who[16];

    apr_snprintf(who, sizeof(who), "%d", (int)uid);
    append(d, "foreign", "", (const char *const[]){"listen", listen, "uid", who, NULL});
}
