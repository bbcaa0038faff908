/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "taken.h"
#include "ground/loop.h"
#include "events.h"
#include "ground/store.h"
#include "listeners.h"
#include "live.h"
#include "relay_keyname.h"
#include "relay_owner.h"

#include <string.h>

#define ENTRY_MAX (RELAY_LISTEN_ADDR_SIZE + 1)

#define PORTS 65536

/** A listener on all addresses. */
typedef struct everywhere {
    int64_t warned_gate;
    uid_t uid;
    unsigned look; /* at which it was seen last */
} everywhere;

struct taken {
    everywhere *by_port;
    apr_uint16_t *ports; /* what this look has met */
    unsigned nports, look;
    char *text, *told; /* what the field should be, and what was written */
    size_t length;
    int complete; /* there was a whole look */
};

void taken_looking(rlyd *d)
{
    d->taken->look++;
    d->taken->nports = 0;
}

static void warn(rlyd *d, apr_uint16_t n)
{
    everywhere *e = &d->taken->by_port[n];
    char listen[32];

    if (!gate_open(&e->warned_gate, 3600000))
        return;
    relay_log(RELAY_LOG_WARNING,
              "RLY441 a process of uid %d listens on port %u of all addresses: a tunnel of that "
              "port cannot come up, and its visitors get 503; end it, or keep its port out of "
              "[relay] listen; `ss -ltnp sport = :%u' shows it",
              (int)e->uid, n, n);
    apr_snprintf(listen, sizeof(listen), "0.0.0.0:%u", n);
    event_foreign(d, listen, e->uid);
}

void taken_wildcard(rlyd *d, const relay_socket *found)
{
    struct taken *t = d->taken;
    everywhere *e = &t->by_port[found->addr.port];

    /* A port can have one of IPv4 and one of IPv6. */
    if (t->nports == RELAY_OWNER_TAKEN_MAX || e->look == t->look)
        return;
    e->look = t->look;
    e->uid = found->uid;
    t->ports[t->nports++] = found->addr.port;
    if (session_uses_port(d, found->addr.port))
        warn(d, found->addr.port);
}

void taken_warn(session *s)
{
    struct taken *t = s->d->taken;
    int i;

    for (i = 0; i < s->naddrs; i++)
        if (t->look && t->by_port[s->addrs[i].port].look == t->look)
            warn(s->d, s->addrs[i].port);
}

static void add(struct taken *t, const char *word)
{
    size_t n = strlen(word);

    if (t->length + n + 2 > RELAY_OWNER_TAKEN_MAX * ENTRY_MAX)
        return;
    if (t->length)
        t->text[t->length++] = ' ';
    memcpy(t->text + t->length, word, n + 1);
    t->length += n;
}

static void add_foreign(const port *p, void *baton)
{
    char text[RELAY_LISTEN_ADDR_SIZE];

    add(baton, relay_listen_addr_format(p->addr, text, sizeof(text)));
}

void taken_looked(rlyd *d)
{
    struct taken *t = d->taken;
    char word[16];
    unsigned i;

    t->length = 0;
    t->text[0] = '\0';
    for (i = 0; i < t->nports; i++) {
        apr_snprintf(word, sizeof(word), "*:%u", t->ports[i]);
        add(t, word);
    }
    listeners_each_foreign(d, add_foreign, t);
    t->complete = 1;
    if (strcmp(t->text, t->told) != 0)
        taken_tell(d);
}

void taken_tell(rlyd *d)
{
    struct taken *t = d->taken;
    char key[RELAY_KEYNAME_SIZE];

    if (!t->complete)
        return;
    relay_keyname_format(d->cfg, RELAY_KEYNAME_RELAY, d->cfg->name, key, sizeof(key));
    if (redis_call(store_link(d), NULL, 0, "HSET", key, "v", APR_STRINGIFY(RELAY_RECORD_VERSION),
                   "taken", t->text) == 0)
        memcpy(t->told, t->text, t->length + 1);
    redis_call(store_link(d), NULL, 0, "PEXPIRE", key, LIVE_EXPIRES);
}

void taken_init(rlyd *d)
{
    static everywhere by_port[PORTS]; /* few of its pages are ever touched */
    struct taken *t = d->taken = apr_pcalloc(d->pool, sizeof(*t));

    t->by_port = by_port;
    t->ports = apr_pcalloc(d->pool, RELAY_OWNER_TAKEN_MAX * sizeof(*t->ports));
    t->text = apr_palloc(d->pool, RELAY_OWNER_TAKEN_MAX * ENTRY_MAX);
    t->told = apr_palloc(d->pool, RELAY_OWNER_TAKEN_MAX * ENTRY_MAX);
    t->text[0] = t->told[0] = '\0';
}
