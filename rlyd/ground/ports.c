/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "ports.h"
#include "loop.h"

#include <apr_hash.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ports {
    const ports_hooks *hooks;
    int nl;
    apr_hash_t *by_addr;
    unsigned dump;
    int64_t fault_gate;
};

port *ports_at(const rlyd *d, relay_listen_addr addr)
{
    uint64_t key = ports_key(addr);

    return apr_hash_get(d->ports->by_addr, &key, sizeof(key));
}

int ports_is_seen(const rlyd *d, const port *p)
{
    return p->seen == d->ports->dump;
}

void ports_drop(rlyd *d, port *p)
{
    apr_hash_set(d->ports->by_addr, &p->key, sizeof(p->key), NULL);
    d->ports->hooks->gone(d, p);
    free(p);
}

/** The kernel says that this one listens. */
static void note(rlyd *d, const relay_socket *found)
{
    port *p = ports_at(d, found->addr);

    if (p && p->inode == found->inode) {
        p->seen = d->ports->dump;
        return;
    }
    if (p)
        ports_drop(d, p);
    p = must_alloc(sizeof(*p));
    memset(p, 0, sizeof(*p));
    p->addr = found->addr;
    p->key = ports_key(found->addr);
    p->inode = found->inode;
    p->uid = found->uid;
    p->seen = d->ports->dump;
    apr_hash_set(d->ports->by_addr, &p->key, sizeof(p->key), p);
    d->ports->hooks->appeared(d, p);
}

static void on_socket(void *baton, const relay_socket *found)
{
    rlyd *d = baton;

    if (found->wildcard)
        d->ports->hooks->wildcard(d, found);
    else
        note(d, found);
}

int ports_dump(rlyd *d)
{
    struct ports *ports = d->ports;

    ports->dump++;
    if (relay_sockdiag_dump(ports->nl, d->cfg->listen, on_socket, d) == 0)
        return 0;
    if (errno != EAGAIN && gate_open(&ports->fault_gate, 60000))
        relay_log(RELAY_LOG_ERR, "RLY442 the kernel's listen table cannot be read: %s",
                  strerror(errno));
    return -1;
}

void ports_look_up(rlyd *d, relay_listen_addr addr)
{
    relay_socket found;

    if (relay_sockdiag_find(d->ports->nl, addr, &found) == 1)
        note(d, &found);
}

int ports_has_gone(rlyd *d, const port *p)
{
    relay_socket found;
    int there = relay_sockdiag_find(d->ports->nl, p->addr, &found);

    return there == 0 || (there == 1 && found.inode != p->inode);
}

void ports_each(rlyd *d, void (*fn)(rlyd *d, port *p, void *baton), void *baton)
{
    apr_pool_t *scratch;
    apr_hash_index_t *hi;
    void *value;

    apr_pool_create(&scratch, d->pool);
    for (hi = apr_hash_first(scratch, d->ports->by_addr); hi; hi = apr_hash_next(hi)) {
        apr_hash_this(hi, NULL, NULL, &value);
        fn(d, value, baton);
    }
    apr_pool_destroy(scratch);
}

void ports_init(rlyd *d, const ports_hooks *hooks)
{
    struct ports *ports = d->ports = apr_pcalloc(d->pool, sizeof(*ports));

    ports->hooks = hooks;
    ports->by_addr = apr_hash_make(d->pool);
    ports->nl = relay_sockdiag_open();
    if (ports->nl < 0)
        relay_log(RELAY_LOG_ERR, "RLY442 the kernel's listen table cannot be read: %s",
                  strerror(errno));
}
