/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: addresses in a device's answer. The first byte says in which field. */

#include "../../mod_relay/answer/addresses.h"
#include "fuzz.h"

#define AUTHORITY "cam.relay.example.com:8443"

static int begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A URL that was changed leads to the public name, or has no host. */
static int is_ours(const char *url)
{
    if (*url == '/')
        return !strchr("/\\", url[1 + strspn(url + 1, "\t\r\n")]) ||
               !url[1 + strspn(url + 1, "\t\r\n")];
    return *url == '?' || *url == '#' || begins(url, "./") || begins(url, "https://" AUTHORITY) ||
           begins(url, "wss://" AUTHORITY);
}

int fuzz_addresses(const char *text, size_t size, apr_pool_t *p)
{
    static const char *const own[] = {"nas.lan:8080", "[2001:db8::7]", "", NULL};
    mod_relay_addresses a = {"https", AUTHORITY, "cam.relay.example.com", "relay.example.com",
                             "http",  own,       MOD_RELAY_ADDRESSES_ROOM};
    mod_relay_field field = (mod_relay_field)(1 + (unsigned char)*text % 3);
    const char *value = size ? text + 1 : text, *public;

    if (!*text)
        return 0;
    public = mod_relay_addresses_public(&a, field, value, p);
    if (public == value)
        return 0;
    MUST(strlen(public) <= strlen(value) + MOD_RELAY_ADDRESSES_ROOM - a.room);
    MUST(field != MOD_RELAY_FIELD_URL || is_ours(public));
    /* Where all had room, nothing is left to change. */
    a.room = MOD_RELAY_ADDRESSES_ROOM;
    MUST(mod_relay_addresses_public(&a, field, public, p) == public);
    return 1;
}
