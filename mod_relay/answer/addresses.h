/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Addresses in the fields of a device's answer. A device that names itself, by whatever it takes
 * for its own address, has to lead visitors to its public name; what leads elsewhere stays as it
 * is, byte for byte. URLs are read as browsers do (WHATWG URL), by whom they are followed. Pure
 * functions: any thread, any bytes, linear; memory only for values that change.
 */
#ifndef MOD_RELAY_ADDRESSES_H
#define MOD_RELAY_ADDRESSES_H

#include <apr_pools.h>

/** At most so many bytes more than the device sent may the values of one answer have. */
#define MOD_RELAY_ADDRESSES_ROOM 4096

typedef struct mod_relay_addresses {
    const char *scheme;    /* the visitor's: `https` or `http` */
    const char *authority; /* NAME.domain, with the visitor's port where it is not the scheme's */
    const char *name;      /* NAME.domain, in lower case */
    const char *domain;    /* all else under it is other devices', or the relay's own */
    const char *device_scheme; /* how the device is asked: `https` or `http` */
    const char *const *own;    /* host[:port]: what the device is called besides; NULL is the end */
    apr_size_t room;           /* MOD_RELAY_ADDRESSES_ROOM at first */
} mod_relay_addresses;

/** Which fields hold addresses, and how. */
typedef enum {
    MOD_RELAY_FIELD_OTHER,   /* none */
    MOD_RELAY_FIELD_URL,     /* Location, Content-Location, Destination: one */
    MOD_RELAY_FIELD_REFRESH, /* `5; url=…` */
    MOD_RELAY_FIELD_LINK     /* `<…>; rel=next, <…>` */
} mod_relay_field;

mod_relay_field mod_relay_field_of(const char *name);

/**
 * A field's value for the visitor.
 *
 * The device itself is meant by: the public name, with any scheme of the web and any port; the
 * hosts of own, with any port, since the tunnel has one only; and hosts that mean something on the
 * device's network alone (hosts.h). The first becomes https://NAME.domain…, the others a path
 * without a host. A name of one label (`//evil`) is nobody's that can be told, and stays.
 * @return value itself where nothing has to change, else made in p
 */
const char *mod_relay_addresses_public(mod_relay_addresses *a, mod_relay_field field,
                                       const char *value, apr_pool_t *p);

#endif
