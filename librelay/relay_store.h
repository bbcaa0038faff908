/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The store: every Redis key of the system. This header is the schema.
 *
 * All keys start with relay.conf's prefix (`relay:`). Records are hashes with a field `v`
 * (RELAY_RECORD_VERSION); a reader that meets a higher one refuses the record. All times are
 * milliseconds since 1970 by Redis's own clock, so that the clocks of relays do not matter.
 *
 *  route:<name>     hash    v tunnel relay listen scheme expires device service, for a name that
 *                           the operator chose also chosen (1) owner listen `127.77.0.5:10000`;
 *                           scheme http|https|h2c|tcp. What a request needs. owner: the tunnel by
 *                           which the name changed hands last, empty if it never did: another
 *                           owner, another device. written by open, extend, close; read by
 *                           mod_relay, relayrewrite; lives until expires
 *  gone:<name>      hash    v why tunnel; why `expired` or `closed`: what a visitor is told once
 *                           the route is away. written by open (as expired), close; read by
 *                           mod_relay on a miss; lives until expires + 1 day
 *  was:<name>       hash    v tunnel device label owner: which device had a chosen name. device:
 *                           the label of the last tunnel, may be empty; label: the last one that
 *                           was not; owner as above. Random names have none: they do not come
 *                           again. written by open, extend, close; read by open; lives until the
 *                           tunnel's end + 90 days
 *  key:<SHA256:fp>  hash    v tunnel relay listen expires; listen: the tunnel's listen addresses,
 *                           space separated. written by open, extend, close; read by
 *                           relay-authkeys; lives until expires
 *  gone:<SHA256:fp> hash    v why tunnel; the same of a tunnel's key, for the log. No name of a
 *                           route begins so. written by open (as expired), close; read by
 *                           relay-authkeys on a miss; lives until expires + 1 day
 *  tunnel:<id>      hash    v id device relay key created expires state (open|closed) ended by
 *                           routes (their number n), and name.I listen.I service.I for I from 0 to
 *                           n-1; key the fingerprint; by who opened it; ended (ms) once closed.
 *                           written by open, extend, close; read by rly, rlyd; lives until expires
 *                           + 1 day
 *  tunnels          zset    id by expires. written by open, extend, close, rlyd; read by rly list,
 *                           rlyd
 *  next:<relay>     string  the last position of the listen space that was issued. written and read
 *                           by open; for ever
 *  slot:<relay>:<addr:port>
 *                   string  id of the tunnel that holds the address. written by open, extend,
 *                           close; read by open; lives until expires + cooldown, after a close
 *                           until then + cooldown
 *  live:<relay>     hash    listen address -> JSON {"tunnel":…,"pid":…,"since":ms,"peer":…};
 *                           written by rlyd; read by rly, open; refreshed
 *  seen:<relay>     hash    at redis until: at (ms) live:<relay> was all that listens in a listen
 *                           space where addresses come back (one that is not RELAY_LISTEN_WIDE), in
 *                           the Redis of that run_id; where it is narrow (relay_config_is_narrow())
 *                           none is issued before `until` (ms, if it is there): Redis had lost what
 *                           it knew of the relay. written by rlyd after each look at the listen
 *                           table; read by open; for ever
 *  relay:<name>     hash    v ssh hostkeys (lines `type base64`) load versions taken; written by
 *                           rlyd (heartbeat, lives 1 minute). taken: where in the listen space
 *                           others listen, separated by spaces: listen addresses, and `*:PORT` for
 *                           a listener on all addresses; at most 4,096, written as it changes, too.
 *                           read by rly open
 *  events           stream  what (open|extend|close|expire|up|down|idle|contested|…) tunnel relay
 *                           by, and `peer` where there is one; capped at about 10,000; written by
 *                           every writer; read for audit and by rlyd
 *
 * What changes several keys is one Lua script (librelay/lua), so that no reader sees half of it.
 *
 * A relay_store is one connection, made when it is first needed and made again after it broke. It
 * belongs to one thread at a time. Every call ends within a few times [redis] timeout.
 */
#ifndef RELAY_STORE_H
#define RELAY_STORE_H

#include "relay_config.h"

typedef struct relay_store relay_store;

/** What a request needs to know. All strings from the pool passed to the call. */
typedef struct relay_route {
    const char *name;
    const char *tunnel;
    const char *relay;
    const char *device;  /* "" if the operator gave none */
    const char *scheme;  /* one that relay_scheme_is_known() */
    const char *service; /* the URL on the device's side, "" if the record has none */
    relay_listen_addr listen;
    const char *owner;  /* the tunnel by which the name changed hands last, "" if it never did */
    int chosen;         /* whether the name was chosen: it may come again */
    const char *origin; /* scheme://listen, which every request needs */
    apr_time_t expires; /* by Redis's clock */
    apr_interval_time_t lives; /* from the answer on: for a deadline by a monotonic clock; > 0 */
} relay_route;

/** What a key may do. */
typedef struct relay_grant {
    const char *tunnel;
    const char *relay;
    apr_time_t expires;
    int naddrs;
    const relay_listen_addr *addrs;
} relay_grant;

/**
 * Makes a store; does not connect yet.
 * @param p owns it; its clean-up closes the connection
 */
void relay_store_create(relay_store **out, const relay_config *cfg, apr_pool_t *p);

/**
 * Looks a route up: one round trip.
 * @param route out, in pool p
 * @param gone out on RELAY_EGONE: `expired` or `closed`
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_EGONE; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_store_route(relay_store *s, const char *name, relay_route *route,
                               const char **gone, apr_pool_t *p, const char **why);

/**
 * Whether a route that was found is one this relay may connect to: it is on this relay, and its
 * listen address is inside the listen space. To be asked before anything connects there, whatever
 * wrote the record.
 * @return APR_SUCCESS, or RELAY_ERECORD with *why
 */
apr_status_t relay_store_route_check(const relay_config *cfg, const relay_route *route,
                                     apr_pool_t *p, const char **why);

/**
 * Looks up what a key may do: one round trip.
 * @param fingerprint `SHA256:` and 43 characters of base64; anything else is RELAY_ENOTFOUND
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_store_grant(relay_store *s, const char *fingerprint, relay_grant *grant,
                               apr_pool_t *p, const char **why);

/**
 * Why a key that relay_store_grant() did not find is not there, for the log: one round trip.
 * @param closed out: 1 its tunnel was closed, 0 its time is over
 * @return APR_SUCCESS with *tunnel; RELAY_ENOTFOUND: nothing is known of it; RELAY_ERECORD,
 * RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_store_key_ended(relay_store *s, const char *fingerprint, const char **tunnel,
                                   int *closed, apr_pool_t *p, const char **why);

/** Whether the text has the form of an OpenSSH SHA256 fingerprint. */
int relay_fingerprint_is_valid(const char *text);

/**
 * Runs one command; for the rest of librelay and for rlyd's and rly's own keys.
 * @param argv, argvlen as redisCommandArgv() takes them
 * @param reply to be freed by the caller with freeReplyObject(); never an error reply
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why (for an error reply, too)
 */
apr_status_t relay_store_command(relay_store *s, redisReply **reply, int argc, const char **argv,
                                 const size_t *argvlen, apr_pool_t *p, const char **why);

/** One command, as redisCommandArgv() takes it; argvlen may be NULL. */
typedef struct relay_store_cmd {
    int argc;
    const char **argv;
    const size_t *argvlen;
} relay_store_cmd;

/**
 * Runs n commands that only read, in one round trip. Where the connection broke while it was idle
 * they are sent again on a fresh one.
 * @param replies out: n of them, to be given to relay_store_free(); each may be an error reply
 * @return APR_SUCCESS, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_store_read(relay_store *s, const relay_store_cmd *cmds, int n,
                              redisReply **replies, apr_pool_t *p, const char **why);

/**
 * What an error reply means; APR_SUCCESS for any other.
 * @param key the record that was read, or NULL
 * @return RELAY_ERECORD when the record is not of the type that was expected, else
 * RELAY_EUNREACHABLE; with *why
 */
apr_status_t relay_store_check(relay_store *s, const redisReply *reply, const char *key,
                               apr_pool_t *p, const char **why);

/** Frees n replies; an entry may be NULL. */
void relay_store_free(redisReply **replies, int n);

/** Redis's clock, which the times in records go by. */
apr_status_t relay_store_now(apr_time_t *now, relay_store *s, apr_pool_t *p, const char **why);

/** A key with the configured prefix: relay_store_key(s, p, "live:", name). */
const char *relay_store_key(const relay_store *s, apr_pool_t *p, const char *kind, const char *id);

/** The Lua scripts that are built in. */
typedef enum { RELAY_SCRIPT_OPEN, RELAY_SCRIPT_EXTEND, RELAY_SCRIPT_CLOSE } relay_script_id;

/**
 * Runs a script. KEYS[1] is the prefix;
 * args become ARGV.
 * @return as relay_store_command()
 */
apr_status_t relay_store_script(relay_store *s, redisReply **reply, relay_script_id id, int nargs,
                                const char **args, apr_pool_t *p, const char **why);

/**
 * The latest time at which a script may begin, as an argument for one that should not be carried
 * out after its caller has given up: a Redis that hung runs what it finds waiting. Costs a round
 * trip, to ask Redis's clock. A script that refuses for it answers `late', which
 * relay_store_script() makes RELAY_EUNREACHABLE.
 * @param latest out: milliseconds since 1970 by Redis's clock
 */
apr_status_t relay_store_deadline(const char **latest, relay_store *s, apr_pool_t *p,
                                  const char **why);

/** The value of a field in a reply to HGETALL, or NULL. */
const char *relay_reply_field(const redisReply *hash, const char *field);

/** Milliseconds since 1970, as records and the scripts' answers have them: 1 to 15 digits.
 * @param ms may be NULL
 * @return whether it is that; *out is untouched if not */
int relay_time_parse(apr_time_t *out, const char *ms);

/** Checks a record's `v` and says what is wrong.
 * @return APR_SUCCESS, or RELAY_ERECORD with *why */
apr_status_t relay_reply_version(const redisReply *hash, const char *key, apr_pool_t *p,
                                 const char **why);

#endif
