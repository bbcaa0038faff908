/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What every part of librelay shares: the status codes.
 *
 * Conventions of all librelay headers
 *  - A function that can fail returns apr_status_t; results come back by out-parameter, which is
 *    left untouched on failure unless the header says otherwise.
 *  - `const char **why` receives a sentence for people (what failed, on what, what to do),
 *    allocated from the pool that was passed. It never holds a password or a private key. It may be
 *    NULL.
 *  - Memory belongs to the pool that was passed. Nothing here keeps state of its own; two threads
 *    may call anything at once as long as they do not share the same object or pool.
 *  - Time spans are apr_interval_time_t and points in time apr_time_t (microseconds), unless a name
 *    ends in _ms.
 */
#ifndef RELAY_H
#define RELAY_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_time.h>

/** There is no such record. */
#define RELAY_ENOTFOUND (APR_OS_START_USERERR + 7001)
/** There was one: it has expired or was closed. */
#define RELAY_EGONE (APR_OS_START_USERERR + 7002)
/** A rule says no: the name is taken, the listen space is used up, the TTL is over the limit. */
#define RELAY_EREFUSED (APR_OS_START_USERERR + 7003)
/** The input itself cannot be right: not a TTL, not a URL, not a DNS label, not a public key. */
#define RELAY_EINPUT (APR_OS_START_USERERR + 7004)
/** Redis (or another part) could not be reached or did not answer in time, or refused to serve. */
#define RELAY_EUNREACHABLE (APR_OS_START_USERERR + 7005)
/** A record was found that cannot be used: malformed, or written by a newer version. */
#define RELAY_ERECORD (APR_OS_START_USERERR + 7006)
/** A key for what may happen once was used before, for something else. */
#define RELAY_EREUSED (APR_OS_START_USERERR + 7007)

/** It was done, but a failover of Redis could undo it: nobody may rely on it. Safe to do again. */
#define RELAY_EUNCONFIRMED (APR_OS_START_USERERR + 7008)

/** The version of the records this code reads and writes: field `v` of each. */
#define RELAY_RECORD_VERSION 1

/** Sets *why, where the caller wants it, to a sentence formatted into pool p. */
#define RELAY_WHY(why, p, ...) \
    do { \
        if (why) \
            *(why) = apr_psprintf((p), __VA_ARGS__); \
    } while (0)

#endif
