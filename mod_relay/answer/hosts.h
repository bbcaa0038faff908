/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The host of a URL as browsers read it (WHATWG URL, 3.5): a name, or an IP address in any of the
 * spellings that they take for one. Pure functions: any thread, any bytes, linear, nothing
 * allocated.
 */
#ifndef MOD_RELAY_HOSTS_H
#define MOD_RELAY_HOSTS_H

#include <apr.h>

/** Longer hosts are none of DNS, and are refused. */
#define MOD_RELAY_HOST_MAX 255

/** Tabs and line ends mean nothing in a URL, wherever they stand. @return the next other byte */
static inline const char *mod_relay_past_removed(const char *at, const char *end)
{
    while (at < end && (*at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

typedef struct mod_relay_host {
    int bytes; /* of the address: 4 or 16; 0 for a name */
    unsigned char address[16];
    char name[MOD_RELAY_HOST_MAX + 1]; /* in lower case, without the dot at its end */
    apr_size_t length;                 /* of name */
} mod_relay_host;

/**
 * Reads a host.
 * @param text without a port; an IPv6 address in brackets
 * @return 0 where browsers refuse it, and where it is no ASCII once %XX is undone
 */
int mod_relay_host_read(mod_relay_host *host, const char *text, apr_size_t length);

/** 1 if both are the same name or the same address. */
int mod_relay_host_is(const mod_relay_host *a, const mod_relay_host *b);

/** 1 if the host is this name, or ends with `.` and this name. */
int mod_relay_host_is_under(const mod_relay_host *host, const char *name);

/**
 * 1 for a host that means something on its own machine or its own network only, and there something
 * else than here: loopback, private, link-local, unique local and carrier-grade NAT addresses, the
 * unspecified address, `localhost` and all below it, and the names of multicast DNS (`nas.local`).
 * Those have one label before `local` (RFC 6762, 3); with more they are some company's own DNS.
 */
int mod_relay_host_is_near(const mod_relay_host *host);

#endif
