/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "admission.h"
#include "ground/loop.h"

#include <apr_hash.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct source {
    /* 4 and an IPv4 address, or 6 and the upper half of an IPv6 address. Loopback is one source: a
     * process of this host may choose from all of 127.0.0.0/8. */
    unsigned char prefix[9];
    int count;
};

struct admission {
    apr_hash_t *sources;
    int count;
};

void admission_init(rlyd *d)
{
    d->admission = apr_pcalloc(d->pool, sizeof(*d->admission));
    d->admission->sources = apr_hash_make(d->pool);
}

unsigned admission_count(const rlyd *d)
{
    return (unsigned)d->admission->count;
}

static void prefix_of_ipv4(unsigned char *prefix, const void *addr)
{
    prefix[0] = 4;
    memcpy(prefix + 1, addr, 4);
    if (prefix[1] == 127)
        memset(prefix + 2, 0, 3);
}

static void prefix_of(unsigned char *prefix, const struct sockaddr *peer)
{
    static const unsigned char loopback[4] = {127};
    const struct sockaddr_in *in = (const void *)peer;
    const struct sockaddr_in6 *in6 = (const void *)peer;

    memset(prefix, 0, sizeof((struct source *)0)->prefix);
    if (peer->sa_family == AF_INET) {
        prefix_of_ipv4(prefix, &in->sin_addr);
    }
    else if (peer->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        prefix_of_ipv4(prefix, &in6->sin6_addr.s6_addr[12]);
    }
    else if (peer->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr)) {
        prefix_of_ipv4(prefix, loopback);
    }
    else if (peer->sa_family == AF_INET6) {
        prefix[0] = 6;
        memcpy(prefix + 1, &in6->sin6_addr, 8);
    }
}

/** The rule of sshd's MaxStartups: from start to full a growing share is refused, from rate to 100
 * per cent. */
static int drops(const relay_config *cfg, int count)
{
    int start = cfg->max_startups_start, full = cfg->max_startups_full, share;
    unsigned dice;

    if (count < start)
        return 0;
    if (count >= full || cfg->max_startups_rate == 100)
        return 1;
    share =
        cfg->max_startups_rate + (100 - cfg->max_startups_rate) * (count - start) / (full - start);
    if (getrandom(&dice, sizeof(dice), 0) != sizeof(dice))
        return 1;
    return (int)(dice % 100) < share;
}

struct source *admission_enter(rlyd *d, const struct sockaddr *peer, const char **why)
{
    struct admission *a = d->admission;
    struct source *source;
    unsigned char prefix[sizeof(source->prefix)];

    if (drops(d->cfg, a->count)) {
        *why = "too many are logging in ([rlyd] max-startups)";
        return NULL;
    }
    prefix_of(prefix, peer);
    source = apr_hash_get(a->sources, prefix, sizeof(prefix));
    if (source && d->cfg->per_source_startups && source->count >= d->cfg->per_source_startups) {
        *why = "too many from there are logging in ([rlyd] per-source-startups)";
        return NULL;
    }
    if (!source) {
        source = must_alloc(sizeof(*source));
        memcpy(source->prefix, prefix, sizeof(prefix));
        source->count = 0;
        apr_hash_set(a->sources, source->prefix, sizeof(source->prefix), source);
    }
    source->count++;
    a->count++;
    return source;
}

void admission_holds(session *s, struct source *source)
{
    s->admission.source = source;
}

void admission_over(session *s)
{
    struct admission *a = s->d->admission;
    struct source *source = s->admission.source;

    s->admission.source = NULL;
    if (!source)
        return;
    a->count--;
    if (--source->count > 0)
        return;
    apr_hash_set(a->sources, source->prefix, sizeof(source->prefix), NULL);
    free(source);
}
