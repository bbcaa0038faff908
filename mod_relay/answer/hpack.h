/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The size of HTTP/2's fields once they are unpacked (HPACK, RFC 7541): one byte can stand for a
 * field of 4 kB. Only lengths are followed, and they are never understated. Takes any bytes, one at
 * a time.
 */
#ifndef MOD_RELAY_HPACK_H
#define MOD_RELAY_HPACK_H

#include <apr.h>

/** A table of 4 kB has no more entries: each counts for 32 bytes at least. */
#define MOD_RELAY_HPACK_ENTRIES 128

/** All zero at first; one for a connection, since its table goes on from block to block. */
typedef struct mod_relay_hpack {
    apr_uint32_t fields; /* their number; the owner sets this and the next back to 0 */
    apr_uint32_t size;   /* the bytes of their names and values, at most */
    enum {
        MOD_RELAY_HPACK_FIELD,
        MOD_RELAY_HPACK_NUMBER,
        MOD_RELAY_HPACK_LENGTH,
        MOD_RELAY_HPACK_SKIP
    } state;
    enum {
        MOD_RELAY_HPACK_INDEX,
        MOD_RELAY_HPACK_NAME,
        MOD_RELAY_HPACK_STRING,
        MOD_RELAY_HPACK_RESIZE
    } number_is;
    apr_uint32_t number;
    unsigned shift;
    int indexing, in_value, huffman;
    apr_uint32_t skip;                             /* bytes of the string still to come */
    apr_uint32_t field;                            /* size of the field so far */
    apr_uint32_t entries[MOD_RELAY_HPACK_ENTRIES]; /* sizes, a ring */
    unsigned newest, count;
    apr_uint32_t held;    /* sum of them */
    apr_uint32_t smaller; /* the table is smaller than 4 kB by this */
} mod_relay_hpack;

/** Takes the next byte of a block. @return 0 where it is no HPACK: a number that is too large */
int mod_relay_hpack_follow(mod_relay_hpack *h, unsigned char byte);

#endif
