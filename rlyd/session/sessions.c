/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sessions.h"
#include "ground/loop.h"
#include "ground/ports.h"

#include <apr_hash.h>
#include <stdlib.h>
#include <string.h>

struct sessions {
    apr_hash_t *by_id, *by_monitor, *by_tunnel, *by_addr;
    TAILQ_HEAD(turns, session) turns;
    uint64_t last_id;
    unsigned char ports[65536 / 8]; /* those of the listen addresses that were ever seen */
};

void sessions_init(rlyd *d)
{
    struct sessions *all = apr_pcalloc(d->pool, sizeof(*all));

    all->by_id = apr_hash_make(d->pool);
    all->by_monitor = apr_hash_make(d->pool);
    all->by_tunnel = apr_hash_make(d->pool);
    all->by_addr = apr_hash_make(d->pool);
    TAILQ_INIT(&all->turns);
    d->sessions = all;
}

const char *session_way_name(session_way way)
{
    static const char *const names[] = {
        [WAY_DIRECT] = "direct", [WAY_TLS] = "tls", [WAY_LISTENING] = "listening"};

    return names[way];
}

session *session_by_id(rlyd *d, uint64_t id)
{
    return apr_hash_get(d->sessions->by_id, &id, sizeof(id));
}

session *session_by_monitor(rlyd *d, pid_t monitor)
{
    return apr_hash_get(d->sessions->by_monitor, &monitor, sizeof(monitor));
}

session *session_of_tunnel(rlyd *d, const char *tunnel)
{
    return apr_hash_get(d->sessions->by_tunnel, tunnel, APR_HASH_KEY_STRING);
}

unsigned session_count(const rlyd *d)
{
    return apr_hash_count(d->sessions->by_id);
}

void session_each(rlyd *d, void (*fn)(session *s, void *baton), void *baton)
{
    unsigned i, n = 0, count = session_count(d);
    uint64_t *ids = must_alloc(count * sizeof(*ids));
    apr_pool_t *scratch;
    apr_hash_index_t *hi;
    const void *id;

    /* fn may change the table, so it is called by id. */
    apr_pool_create(&scratch, d->pool);
    for (hi = apr_hash_first(scratch, d->sessions->by_id); hi && n < count;
         hi = apr_hash_next(hi)) {
        apr_hash_this(hi, &id, NULL, NULL);
        memcpy(&ids[n++], id, sizeof(*ids));
    }
    apr_pool_destroy(scratch);
    for (i = 0; i < n; i++) {
        session *s = session_by_id(d, ids[i]);

        if (s)
            fn(s, baton);
    }
    free(ids);
}

void session_turn(rlyd *d, unsigned count, void (*fn)(session *s, void *baton), void *baton)
{
    session *s;

    if (count > session_count(d))
        count = session_count(d);
    for (; count && (s = TAILQ_FIRST(&d->sessions->turns)); count--) {
        TAILQ_REMOVE(&d->sessions->turns, s, in_turn);
        TAILQ_INSERT_TAIL(&d->sessions->turns, s, in_turn);
        fn(s, baton);
    }
}

/** An address and its holder, the newest one. */
typedef struct addr_entry {
    uint64_t key;
    session *s;
} addr_entry;

session *session_expecting(rlyd *d, relay_listen_addr addr)
{
    uint64_t key = ports_key(addr);
    addr_entry *entry = apr_hash_get(d->sessions->by_addr, &key, sizeof(key));

    return entry ? entry->s : NULL;
}

void sessions_expect(session *s)
{
    int i;

    for (i = 0; i < s->naddrs; i++) {
        uint64_t key = ports_key(s->addrs[i]);
        addr_entry *entry = apr_hash_get(s->d->sessions->by_addr, &key, sizeof(key));

        if (!entry) {
            entry = must_alloc(sizeof(*entry));
            entry->key = key;
            apr_hash_set(s->d->sessions->by_addr, &entry->key, sizeof(entry->key), entry);
        }
        entry->s = s;
    }
}

void sessions_forget(session *s)
{
    int i;

    for (i = 0; i < s->naddrs; i++) {
        uint64_t key = ports_key(s->addrs[i]);
        addr_entry *entry = apr_hash_get(s->d->sessions->by_addr, &key, sizeof(key));

        if (entry && entry->s == s) {
            apr_hash_set(s->d->sessions->by_addr, &entry->key, sizeof(entry->key), NULL);
            free(entry);
        }
    }
}

int session_uses_port(const rlyd *d, uint16_t n)
{
    return d->sessions->ports[n / 8] >> n % 8 & 1;
}

void session_set_addrs(session *s, int naddrs, const relay_listen_addr *addrs)
{
    int i, expected = s->state == SESSION_PROVED;

    if (naddrs == s->naddrs && memcmp(addrs, s->addrs, (size_t)naddrs * sizeof(*addrs)) == 0)
        return;
    if (expected)
        sessions_forget(s);
    free(s->addrs);
    s->addrs = must_alloc((size_t)naddrs * sizeof(*addrs));
    memcpy(s->addrs, addrs, (size_t)naddrs * sizeof(*addrs));
    s->naddrs = naddrs;
    for (i = 0; i < naddrs; i++)
        s->d->sessions->ports[addrs[i].port / 8] |= (unsigned char)(1 << addrs[i].port % 8);
    if (expected)
        sessions_expect(s);
}

void sessions_leave(session *s)
{
    apr_hash_t *by_tunnel = s->d->sessions->by_tunnel;
    session *first, **at;

    if (!s->tunnel[0])
        return;
    first = session_of_tunnel(s->d, s->tunnel);
    for (at = &first; *at; at = &(*at)->next_of_tunnel)
        if (*at == s) {
            *at = s->next_of_tunnel;
            break;
        }
    /* The entry's key is memory of the first session: it is taken out before that may go. */
    apr_hash_set(by_tunnel, s->tunnel, APR_HASH_KEY_STRING, NULL);
    if (first)
        apr_hash_set(by_tunnel, first->tunnel, APR_HASH_KEY_STRING, first);
    s->next_of_tunnel = NULL;
    s->tunnel[0] = '\0';
}

void sessions_join(session *s, const char *tunnel, const char *fingerprint)
{
    session *first;

    apr_cpystrn(s->fingerprint, fingerprint, sizeof(s->fingerprint));
    if (strcmp(s->tunnel, tunnel) == 0)
        return;
    sessions_leave(s);
    first = session_of_tunnel(s->d, tunnel);
    apr_cpystrn(s->tunnel, tunnel, sizeof(s->tunnel));
    if (first) {
        s->next_of_tunnel = first->next_of_tunnel;
        first->next_of_tunnel = s;
    }
    else {
        apr_hash_set(s->d->sessions->by_tunnel, s->tunnel, APR_HASH_KEY_STRING, s);
    }
}

void sessions_add(session *s)
{
    s->id = ++s->d->sessions->last_id;
    apr_hash_set(s->d->sessions->by_id, &s->id, sizeof(s->id), s);
    apr_hash_set(s->d->sessions->by_monitor, &s->monitor, sizeof(s->monitor), s);
    TAILQ_INSERT_TAIL(&s->d->sessions->turns, s, in_turn);
}

void sessions_set_monitor(session *s, pid_t monitor)
{
    apr_hash_set(s->d->sessions->by_monitor, &s->monitor, sizeof(s->monitor), NULL);
    s->monitor = monitor;
    apr_hash_set(s->d->sessions->by_monitor, &s->monitor, sizeof(s->monitor), s);
}

void sessions_remove(session *s)
{
    sessions_leave(s);
    TAILQ_REMOVE(&s->d->sessions->turns, s, in_turn);
    apr_hash_set(s->d->sessions->by_id, &s->id, sizeof(s->id), NULL);
    apr_hash_set(s->d->sessions->by_monitor, &s->monitor, sizeof(s->monitor), NULL);
}
