/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The listen space: the loopback addresses and ports of this relay that tunnels get their listen
 * addresses from, written as one or more blocks, `127.64.0.0/10:10000-59999` or
 * `127.0.0.1:20000-29999`, separated by spaces or commas. Positions in it are numbered from 0 to
 * size-1: all addresses of the first block with its lowest port, then with the next port, and so
 * on, then the next block. The counter `next:<relay>` walks over these numbers (invariant 4).
 *
 * The network and broadcast address of a block of more than two addresses are left out.
 */
#ifndef RELAY_LISTEN_H
#define RELAY_LISTEN_H

#include "relay.h"

#define RELAY_LISTEN_BLOCKS_MAX 16

/** Where sshd binds a route: an IPv4 loopback address and a port, both in host byte order. */
typedef struct relay_listen_addr {
    apr_uint32_t ip;
    apr_uint16_t port;
} relay_listen_addr;

typedef struct relay_listen_block {
    apr_uint32_t first, last; /* addresses, host byte order, both usable */
    apr_uint16_t port_lo, port_hi;
} relay_listen_block;

typedef struct relay_listen_space {
    const char *text; /* as configured */
    int nblocks;
    relay_listen_block block[RELAY_LISTEN_BLOCKS_MAX];
    apr_uint64_t size; /* how many positions; at most 2^50 */
} relay_listen_space;

/**
 * Parses a listen space. Refuses addresses outside 127.0.0.0/8, ports below 1024, empty or reversed
 * ranges and blocks that overlap.
 * @return APR_SUCCESS, or RELAY_EINPUT with *why
 */
apr_status_t relay_listen_space_parse(relay_listen_space **space, const char *text, apr_pool_t *p,
                                      const char **why);

/** The listen address at a position; pos must be below space->size. */
relay_listen_addr relay_listen_at(const relay_listen_space *space, apr_uint64_t pos);

/** Whether the space holds that address. */
int relay_listen_contains(const relay_listen_space *space, relay_listen_addr addr);

/** Parses `127.77.0.5:10000` strictly: four plain octets, no leading zeros, a port from 1.
 * @return APR_SUCCESS, or RELAY_EINPUT */
apr_status_t relay_listen_addr_parse(relay_listen_addr *addr, const char *text);

/** A buffer of this size holds each listen address as text. */
#define RELAY_LISTEN_ADDR_SIZE sizeof("255.255.255.255:65535")

/** Writes `127.77.0.5:10000`. @return buf; needs RELAY_LISTEN_ADDR_SIZE bytes */
const char *relay_listen_addr_format(relay_listen_addr addr, char *buf, apr_size_t size);

/** The same from pool p. */
const char *relay_listen_addr_print(relay_listen_addr addr, apr_pool_t *p);

#endif
