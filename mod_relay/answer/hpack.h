/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * How large the fields of HTTP/2 are once they are unpacked (HPACK, RFC 7541): one byte can stand
 * for a field of 4 kB. Lengths only, and rather too much than too little. Takes any bytes, one at a
 * time.
 */
#ifndef MOD_RELAY_HPACK_H
#define MOD_RELAY_HPACK_H

#include <apr.h>

/** What a table of 4 kB can hold: an entry counts for 32 bytes at least. */
#define MOD_RELAY_HPACK_ENTRIES 128

/** All zero at first; one for a connection, since its table goes on from block to block. */
typedef struct mod_relay_hpack {
    apr_uint32_t fields; /* how many there were; the owner sets these two back */
    apr_uint32_t size;   /* of their names and values, at most */
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
    apr_uint32_t skip;                             /* bytes of the string that are to come */
    apr_uint32_t field;                            /* size of the field so far */
    apr_uint32_t entries[MOD_RELAY_HPACK_ENTRIES]; /* sizes, a ring */
    unsigned newest, count;
    apr_uint32_t held;    /* sum of them */
    apr_uint32_t smaller; /* by so much the table is smaller than 4 kB */
} mod_relay_hpack;

/** The next byte of a block. @return 0 for what is no HPACK: a number that is too large */
int mod_relay_hpack_follow(mod_relay_hpack *h, unsigned char byte);

#endif
