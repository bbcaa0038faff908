/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Names of keys in Redis. C composes them here and nowhere else, Lua in lua/prelude.lua. What each
 * key holds stands in relay_store.h.
 */
#ifndef RELAY_KEYNAME_H
#define RELAY_KEYNAME_H

#include "relay_config.h"

/** The kinds of keys that C names, and how a name of the kind begins after the prefix. */
#define RELAY_KEYNAME_KINDS(KIND) \
    KIND(ROUTE, "route:") \
    KIND(GONE, "gone:") \
    KIND(GRANT, "key:") \
    KIND(TUNNEL, "tunnel:") \
    KIND(TUNNELS, "tunnels") \
    KIND(SLOT, "slot:") \
    KIND(LIVE, "live:") \
    KIND(RELAY, "relay:") \
    KIND(EVENTS, "events") \
    KIND(TOKEN, "token:") \
    KIND(CODE, "code:") \
    KIND(DEVICE, "device:") \
    KIND(RELAYS, "relays")

#define RELAY_KEYNAME_ENUM(name, text) RELAY_KEYNAME_##name,
typedef enum { RELAY_KEYNAME_KINDS(RELAY_KEYNAME_ENUM) } relay_keyname_kind;
#undef RELAY_KEYNAME_ENUM

/** A buffer of this size holds each key but those with a name or fingerprint that is too long. */
#define RELAY_KEYNAME_SIZE 256

/**
 * The name of a key.
 * @param id what follows the kind: a name, an id, a fingerprint; "" where the kind has none, or for
 * what all keys of the kind begin with
 * @return in pool p
 */
const char *relay_keyname(const relay_config *cfg, relay_keyname_kind kind, const char *id,
                          apr_pool_t *p);

/** The same without a pool. @return buf; a name that does not fit is cut */
const char *relay_keyname_format(const relay_config *cfg, relay_keyname_kind kind, const char *id,
                                 char *buf, apr_size_t size);

/** `slot:` of a listen address of this relay. @return buf */
const char *relay_keyname_slot(const relay_config *cfg, relay_listen_addr addr, char *buf,
                               apr_size_t size);

#endif
