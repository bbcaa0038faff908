/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Takes values that can be relied upon out of a reply of any form. Pure. The other end may be no
 * Redis, or a broken one, so only these functions look into a reply. What they return lives as long
 * as the reply.
 */
#ifndef RLYD_GROUND_REPLY_H
#define RLYD_GROUND_REPLY_H

#include "relay_tunnel_record.h"
#include "rlyd.h"

#include <hiredis/hiredis.h>

/** @return whether it is a status of that word */
int reply_is_status(const redisReply *r, const char *word);

/** @return a string that is one in C, too; NULL if it is anything else */
const char *reply_text(const redisReply *r);

/** Reads a number, 0 or more. @return 0, or -1 */
int reply_number(const redisReply *r, int64_t *n);

/** Looks at an array. @return 0 with its length, or -1 */
int reply_array(const redisReply *r, size_t *n);

/** Reads an element of an array as text. @return NULL if it is not there or no text */
const char *reply_element(const redisReply *r, size_t i);

/** Reads the answer to TIME, in milliseconds. @return 0, or -1 */
int reply_time(const redisReply *r, int64_t *ms);

/** Reads a tunnel's id, the answer to GET slot:…. @return NULL if it has not the form that goes
 * into keys and records */
const char *reply_tunnel_id(const redisReply *r);

typedef enum {
    RECORD_NONE, /* it is no answer to HGETALL */
    RECORD_MISSING,
    RECORD_NEWER, /* written by a later version */
    RECORD_MALFORMED,
    RECORD_CLOSED,
    RECORD_OPEN
} record_state;

/** The record tunnel:ID. A member that is missing or has not the right form is NULL or 0, and
 * naddrs -1. */
typedef struct reply_record {
    const char *id, *fingerprint;
    int64_t created_ms, expires_ms; /* by Redis's clock */
    int naddrs;
    relay_listen_addr addrs[RELAY_TUNNEL_ROUTES_MAX];
} reply_record;

/** Reads the answer to HGETALL tunnel:ID. With RECORD_OPEN expires_ms and naddrs are known. */
record_state reply_tunnel(const redisReply *r, reply_record *out);

/** Looks at the entries of a stream, as XREVRANGE has them; r may be NULL. @return 0 with their
 * number, or -1 */
int reply_entries(const redisReply *r, size_t *n);

/** Finds the entries of the one stream that XREAD was asked about. @return NULL if it is no such
 * answer */
const redisReply *reply_stream(const redisReply *r);

typedef struct reply_event {
    const char *id;            /* has the form of an entry's id */
    const char *what, *tunnel; /* NULL where it has none */
} reply_event;

/** Reads entry i. @return 0, or -1 */
int reply_entry(const redisReply *entries, size_t i, reply_event *out);

#endif
