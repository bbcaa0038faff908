/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The store: every Redis key of the system. This header is the schema; t/schema.t holds it against
 * all that C and Lua name.
 *
 * All keys start with relay.conf's prefix (`relay:`). In braces stand the fields. A hash with the
 * field `v` is a record (RELAY_RECORD_VERSION); a reader that meets a higher one refuses it. All
 * times are milliseconds since 1970 by Redis's own clock, so that the clocks of relays do not
 * matter.
 *
 *  route:<name>     hash    {v tunnel relay listen scheme expires device service generation chosen
 *                           owner host forwarded upgrade old_tls}
 *                           what a request needs. listen `127.77.0.5:10000`; scheme
 *                           http|https|h2c|tcp; generation how often the tunnel was placed on a
 *                           relay, 1 where there is none; chosen 1 for a name that the operator
 *                           chose, which alone has an owner: the tunnel by which the name changed
 *                           hands last, empty if it never did. Another owner, another device.
 *                           host public|device|NAME[:PORT], forwarded on|off, upgrade names of
 *                           protocols, old_tls on|off: what the service needs (relay_needs);
 *                           where the field is missing public, on, none and off.
 *                           Written by open, extend, close; read by mod_relay, relayrewrite
 *                           (relay_route); lives until expires
 *  gone:<name>      hash    {v why tunnel} why `expired` or `closed`: what a visitor is told once
 *                           the route is away. Written by open (as expired), close; read by
 *                           mod_relay on a miss (relay_gone); lives until expires + 1 day
 *  gone:<SHA256:fp> hash    {v why tunnel} the same of a tunnel's key, for the log. No name of a
 *                           route begins so. Written as the other; read by relay-authkeys on a
 *                           miss; lives until expires + 1 day
 *  was:<name>       hash    {v tunnel device label owner tenant} which device had a chosen name,
 *                           and whose that was. device:
 *                           the label of the last tunnel, may be empty; label: the last one that
 *                           was not; owner as above. Random names have none: they do not come
 *                           again. Written by open, extend, close; read by open; lives until the
 *                           tunnel's end + 90 days
 *  key:<SHA256:fp>  hash    {v tunnel relay listen expires} what a key may do. listen: the tunnel's
 *                           listen addresses, separated by spaces. Written by open, extend, close;
 *                           read by relay-authkeys (relay_grant); lives until expires
 *  tunnel:<id>      hash    {v id device relay key created expires state ended by tenant routes
 *                           name.I listen.I service.I host forwarded upgrade old_tls} the last
 *                           four as its routes have them; tenant whose it is, empty for nobody's;
 *                           state open|closed; key the fingerprint; by who
 *                           opened it; ended once closed; routes their number n, I from 0 to n-1.
 *                           Written by open, extend, close; read by rly, rlyd
 *                           (relay_tunnel_record); lives until expires + 1 day
 *  tunnels          zset    id by expires. Written by open, extend, close, rlyd; read by rly list,
 *                           rlyd
 *  next:<relay>     string  the last position of the listen space that was issued. Written and read
 *                           by open; for ever
 *  slot:<relay>:<addr:port>
 *                   string  id of the tunnel that holds the address. Written by open, extend,
 *                           close; read by open, rlyd; lives until expires + cooldown, after a
 *                           close until then + cooldown
 *  live:<relay>     hash    listen address -> JSON {tunnel pid since peer way} the session that
 *                           listens there (relay_live). Written by rlyd; read by rly, open;
 *                           refreshed
 *  seen:<relay>     hash    {at redis until} when rlyd looked at the listen table last, in which
 *                           Redis, and when addresses may come back: lua/may_issue.lua. Only for
 *                           a listen space that is not wide. Written by rlyd after each look; read
 *                           by open; for ever
 *  relay:<name>     hash    {v ssh hostkeys load sessions versions taken} hostkeys: lines
 *                           `type base64`. taken: where in the listen space others listen,
 *                           separated by spaces: listen addresses, and `*:PORT` for a listener on
 *                           all addresses; at most 4,096, written as it changes, too. Written by
 *                           rlyd (heartbeat, lives 1 minute); read by rly, relays
 *  relays           zset    name by when its rlyd was heard last: the relays that there are.
 *                           Written by rlyd (heartbeat); read by relays, drain; 30 days
 *  drain:<relay>    hash    {v draining since by} draining on|off: whether placement leaves the
 *                           relay out; since when, and who said so. Written by drain; read by
 *                           relays; for ever
 *  events           stream  {what tunnel relay by device expires peer way listen uid why from
 *                           serving token request tenant code id} who did what to which tunnel,
 *                           token, code (its id) or enrolled device (device its label, id its
 *                           id): what is open|extend|close|expire|up|down|idle|contested|foreign|
 *                           token|revoke|code|enrol|approve|suspend|label|remove|drain|undrain; the
 *                           fields after `by` where they apply; from where, and request its id, of
 *                           what came by the API; tenant whose the thing is, empty for nobody's;
 *                           rlyd leaves it to the tunnel's record. Capped at about 10,000
 *                           (relay_event). Written by every writer; read by events, so by rly and
 *                           the API (relay_history), and by rlyd
 *  tenant:<name>    zset    id by expires: the tunnels of a tenant. Written by open, extend, close;
 *                           read by the API; lives until the last one's end + 1 day
 *  label:<tenant>:<device>
 *                   zset    id by expires: those with that device label. As tenant:
 *  token:<id>       hash    {v id hash role tenant label created expires by} a token of the API.
 *                           hash: SHA-256 of the token, in hexadecimal; role as relay_token.h has
 *                           them; tenant whose tunnels it sees, `*` for all; by who made it,
 *                           token:ID for another token. Written by token_new, token_revoke; read
 *                           by admit, rly, the API; lives until expires
 *  tokens           zset    id by expires, of all tokens. As token:
 *  tokens:<tenant>  zset    the same of a tenant's; lives until the last one's end + 1 day
 *  code:<id>        hash    {v id hash tenant label uses used approval created expires by} an
 *                           enrolment code, which lets `uses` devices into a tenant (empty:
 *                           nobody's). hash: SHA-256 of the code; id its first 16 digits; used:
 *                           how many it has let in; approval on: they wait until somebody approves
 *                           them. Written by code_new, code_revoke, enrol; read by enrol, rly, the
 *                           API; lives until expires
 *  codes            zset    id by expires, of all codes. As code:
 *  codes:<tenant>   zset    the same of a tenant's; lives until the last one's end + 1 day
 *  device:<id>      hash    {v id hash tenant label approved created seen by from} a device that
 *                           enrolled. hash: SHA-256 of its token's secret; label what it is called;
 *                           approved on|off, whether it may do anything; seen when it was heard
 *                           last; by code:ID, from where. Written by enrol, device_change,
 *                           device_remove; read by rly, the API; for ever
 *  devices          zset    id by created, of all devices. As device:
 *  devices:<tenant> zset    the same of a tenant's
 *  rate:<token>     string  when the token's next request would be, if they came evenly; in ms,
 *                           with three decimals. A person at the API has `person:' and the SHA-256
 *                           of his name. Written and read by admit; lives for 2 minutes
 *  once:<owner>:<SHA256>
 *                   hash    {v request answer again} what was answered under an Idempotency-Key,
 *                           whose SHA-256 that is. request: SHA-256 of what was asked; answer:
 *                           JSON, what the script answered; again: written when it is asked for
 *                           again, to be confirmed. owner: a token's id, or code-ID. Written and
 *                           read by open, token_new, code_new, enrol; lives 1 day
 *
 * What changes several keys is one Lua script (librelay/lua), so that no reader sees half of it.
 *
 * A relay_store is one connection, made when it is first needed and made again after it broke.
 * Each connection asks anew where the primary is (relay_redis_find()). A store belongs to one
 * thread at a time. Every call ends within a few times [redis] timeout.
 */
#ifndef RELAY_STORE_H
#define RELAY_STORE_H

#include "relay_config.h"
#include "relay_keyname.h"

typedef struct relay_store relay_store;

/**
 * Makes a store; does not connect yet.
 * @param p owns it; its clean-up closes the connection
 */
void relay_store_create(relay_store **out, const relay_config *cfg, apr_pool_t *p);

/**
 * Has records read at another server than the primary from now on: at a replica ([redis] read-url),
 * or at the server that somebody follows who is told of changes there. Where it does not answer,
 * and where a replica that is not in sync lacks the record, the primary is read after all.
 * @param url lives as long as the store; NULL: the primary alone
 */
void relay_store_read_from(relay_store *s, const relay_redis_url *url);

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
 * they are sent again on a fresh one. With relay_store_read_from() the first has to be HGETALL.
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

/** How long one call waits: [redis] timeout. */
apr_interval_time_t relay_store_timeout(const relay_store *s);

/** relay_keyname() with this store's configuration. */
const char *relay_store_key(const relay_store *s, apr_pool_t *p, relay_keyname_kind kind,
                            const char *id);

/** The Lua scripts that are built in. */
typedef enum {
    RELAY_SCRIPT_OPEN,
    RELAY_SCRIPT_EXTEND,
    RELAY_SCRIPT_CLOSE,
    RELAY_SCRIPT_PAGE,
    RELAY_SCRIPT_ADMIT,
    RELAY_SCRIPT_TOKEN_NEW,
    RELAY_SCRIPT_TOKEN_REVOKE,
    RELAY_SCRIPT_EVENTS,
    RELAY_SCRIPT_CODE_NEW,
    RELAY_SCRIPT_CODE_REVOKE,
    RELAY_SCRIPT_ENROL,
    RELAY_SCRIPT_DEVICE_CHANGE,
    RELAY_SCRIPT_DEVICE_REMOVE,
    RELAY_SCRIPT_RELAYS,
    RELAY_SCRIPT_DRAIN
} relay_script_id;

/**
 * Runs a script. KEYS[1] is the prefix; args become ARGV. With sentinel:// what it has written is
 * confirmed: a replica has it, and most sentinels name the server that it was written to.
 * @param reply out: an array, not empty; relay_script_word()
 * @return as relay_store_command(); or RELAY_EUNCONFIRMED with *why
 */
apr_status_t relay_store_script(relay_store *s, redisReply **reply, relay_script_id id, int nargs,
                                const char **args, apr_pool_t *p, const char **why);

/**
 * The latest time at which a script may begin, for one that should not be carried out after its
 * caller has given up: a Redis that hung runs what it finds waiting. Costs a round trip, to ask
 * Redis's clock. A script that refuses for it answers `late', which relay_store_script() makes
 * RELAY_EUNREACHABLE.
 * @param latest out: by Redis's clock
 */
apr_status_t relay_store_deadline(apr_time_t *latest, relay_store *s, apr_pool_t *p,
                                  const char **why);

/** Element i of a script's answer, as text; "" where there is none. Lives as long as the reply. */
const char *relay_script_word(const redisReply *reply, apr_size_t i);

/** The text of one element; "" where it is no text. Lives as long as the reply. */
const char *relay_script_text(const redisReply *reply);

/** Says that a script's answer is none of those it gives. @return RELAY_ERECORD */
apr_status_t relay_script_unknown(relay_script_id id, apr_pool_t *p, const char **why);

#endif
