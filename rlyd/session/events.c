/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "events.h"
#include "ground/store.h"

void event_of(const session *s, const char *what, const char *field, const char *value)
{
    rlyd *d = s->d;
    char name[160], by[96];

    if (!s->tunnel[0])
        return;
    apr_snprintf(name, sizeof(name), "%sevents", d->cfg->prefix);
    apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
    redis_call(store_link(d), NULL, 0, "XADD", name, "MAXLEN", "~", "10000", "*", "what", what,
               "tunnel", s->tunnel, "relay", d->cfg->name, "by", by, "peer",
               s->peer[0] ? s->peer : "?", "way", session_way_name(s->way), field, value);
}

void event_foreign(rlyd *d, const char *listen, uid_t uid)
{
    char name[160], by[96], who[16];

    apr_snprintf(name, sizeof(name), "%sevents", d->cfg->prefix);
    apr_snprintf(by, sizeof(by), "rlyd@%s", d->cfg->name);
    apr_snprintf(who, sizeof(who), "%d", (int)uid);
    redis_call(store_link(d), NULL, 0, "XADD", name, "MAXLEN", "~", "10000", "*", "what", "foreign",
               "tunnel", "", "relay", d->cfg->name, "by", by, "listen", listen, "uid", who);
}
