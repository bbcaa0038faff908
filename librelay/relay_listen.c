/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_listen.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK_NET 0x7f000000u
#define LOOPBACK_MASK 0xff000000u

/* A plain decimal number up to max, without sign, spaces or leading zeros. */
static int read_number(const char **text, apr_uint32_t max, apr_uint32_t *out)
{
    const char *c = *text;
    apr_uint32_t n = 0;

    if (!isdigit((unsigned char)*c) || (c[0] == '0' && isdigit((unsigned char)c[1])))
        return 0;
    for (; isdigit((unsigned char)*c); c++) {
        n = n * 10 + (apr_uint32_t)(*c - '0');
        if (n > max)
            return 0;
    }
    *text = c;
    *out = n;
    return 1;
}

static int read_ip(const char **text, apr_uint32_t *out)
{
    apr_uint32_t octet, ip = 0;
    int i;

    for (i = 0; i < 4; i++) {
        if (i && *(*text)++ != '.')
            return 0;
        if (!read_number(text, 255, &octet))
            return 0;
        ip = ip << 8 | octet;
    }
    *out = ip;
    return 1;
}

apr_status_t relay_listen_addr_parse(relay_listen_addr *addr, const char *text)
{
    apr_uint32_t ip, port;

    if (!read_ip(&text, &ip) || *text++ != ':' || !read_number(&text, 65535, &port) || *text ||
        port == 0)
        return RELAY_EINPUT;
    addr->ip = ip;
    addr->port = (apr_uint16_t)port;
    return APR_SUCCESS;
}

const char *relay_listen_addr_format(relay_listen_addr addr, char *buf, apr_size_t size)
{
    apr_snprintf(buf, size, "%u.%u.%u.%u:%u", addr.ip >> 24, addr.ip >> 16 & 255,
                 addr.ip >> 8 & 255, addr.ip & 255, addr.port);
    return buf;
}

const char *relay_listen_addr_print(relay_listen_addr addr, apr_pool_t *p)
{
    char text[RELAY_LISTEN_ADDR_SIZE];

    return apr_pstrdup(p, relay_listen_addr_format(addr, text, sizeof(text)));
}

static apr_uint64_t block_addresses(const relay_listen_block *b)
{
    return (apr_uint64_t)b->last - b->first + 1;
}

static apr_uint64_t block_size(const relay_listen_block *b)
{
    return block_addresses(b) * (b->port_hi - b->port_lo + 1u);
}

/* Parses one block, ADDRESS[/PREFIX]:LOW-HIGH; returns what is wrong with it, or NULL. */
static const char *parse_block(relay_listen_block *b, const char *text)
{
    apr_uint32_t ip, prefix = 32, lo, hi, mask;

    if (!read_ip(&text, &ip))
        return "it must begin with an IPv4 address";
    if (*text == '/') {
        text++;
        if (!read_number(&text, 32, &prefix) || prefix < 8)
            return "the prefix length must be between 8 and 32";
    }
    if ((ip & LOOPBACK_MASK) != LOOPBACK_NET)
        return "the addresses must be loopback addresses (127.0.0.0/8): others could be reached "
               "from outside";
    mask = prefix == 32 ? 0xffffffffu : ~(0xffffffffu >> prefix);
    if (ip & ~mask)
        return "the address has bits set beyond its prefix length";
    if (*text++ != ':' || !read_number(&text, 65535, &lo) || *text++ != '-' ||
        !read_number(&text, 65535, &hi) || *text)
        return "write ADDRESS/PREFIX:LOWPORT-HIGHPORT, like 127.64.0.0/10:10000-59999";
    if (lo < 1024)
        return "the ports must be 1024 or higher: only root can listen on lower ones";
    if (lo > hi)
        return "the low port is above the high port";
    b->first = ip;
    b->last = ip | ~mask;
    if (prefix <= 30) {
        b->first++;
        b->last--;
    }
    b->port_lo = (apr_uint16_t)lo;
    b->port_hi = (apr_uint16_t)hi;
    return NULL;
}

static int blocks_overlap(const relay_listen_block *a, const relay_listen_block *b)
{
    return a->first <= b->last && b->first <= a->last && a->port_lo <= b->port_hi &&
           b->port_lo <= a->port_hi;
}

apr_status_t relay_listen_space_parse(relay_listen_space **space, const char *text, apr_pool_t *p,
                                      const char **why)
{
    relay_listen_space *s = apr_pcalloc(p, sizeof(*s));
    char *state, *word, *copy = apr_pstrdup(p, text);
    const char *wrong;
    int i;

    s->text = apr_pstrdup(p, text);
    for (word = apr_strtok(copy, " \t,", &state); word; word = apr_strtok(NULL, " \t,", &state)) {
        relay_listen_block *b = &s->block[s->nblocks];

        if (s->nblocks == RELAY_LISTEN_BLOCKS_MAX) {
            RELAY_WHY(why, p, "more than %d blocks", RELAY_LISTEN_BLOCKS_MAX);
            return RELAY_EINPUT;
        }
        if ((wrong = parse_block(b, word)) != NULL) {
            RELAY_WHY(why, p, "`%.60s': %s", word, wrong);
            return RELAY_EINPUT;
        }
        for (i = 0; i < s->nblocks; i++) {
            if (blocks_overlap(b, &s->block[i])) {
                RELAY_WHY(why, p, "`%.60s' overlaps an earlier block", word);
                return RELAY_EINPUT;
            }
        }
        s->size += block_size(b);
        s->nblocks++;
    }
    if (!s->nblocks) {
        RELAY_WHY(
            why, p,
            "it is empty: write ADDRESS/PREFIX:LOWPORT-HIGHPORT, like 127.64.0.0/10:10000-59999");
        return RELAY_EINPUT;
    }
    *space = s;
    return APR_SUCCESS;
}

relay_listen_addr relay_listen_at(const relay_listen_space *space, apr_uint64_t pos)
{
    const relay_listen_block *b = space->block;
    relay_listen_addr addr;

    while (pos >= block_size(b))
        pos -= block_size(b++);
    addr.ip = b->first + (apr_uint32_t)(pos % block_addresses(b));
    addr.port = (apr_uint16_t)(b->port_lo + pos / block_addresses(b));
    return addr;
}

int relay_listen_contains(const relay_listen_space *space, relay_listen_addr addr)
{
    int i;

    for (i = 0; i < space->nblocks; i++) {
        const relay_listen_block *b = &space->block[i];

        if (addr.ip >= b->first && addr.ip <= b->last && addr.port >= b->port_lo &&
            addr.port <= b->port_hi)
            return 1;
    }
    return 0;
}
