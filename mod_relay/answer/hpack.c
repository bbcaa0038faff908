/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "hpack.h"

/* mod_proxy_http2 never allows more by SETTINGS_HEADER_TABLE_SIZE. */
#define TABLE_MAX 4096
#define ENTRY_OVERHEAD 32
#define STATIC_ENTRIES 61
#define STATIC_SIZE 64 /* no entry of the static table is as large */

static void evict(mod_relay_hpack *h, apr_uint32_t room)
{
    while (h->count && h->held + room > TABLE_MAX - h->smaller) {
        unsigned oldest =
            (h->newest + MOD_RELAY_HPACK_ENTRIES - (h->count - 1)) % MOD_RELAY_HPACK_ENTRIES;

        h->held -= h->entries[oldest];
        h->count--;
    }
}

/*
 * Sizes are overstated, so that entries go earlier here than in libnghttp2. An entry that is not
 * found any more counts as the largest.
 */
static void insert(mod_relay_hpack *h, apr_uint32_t size)
{
    evict(h, size);
    if (size > TABLE_MAX - h->smaller)
        return;
    h->newest = (h->newest + 1) % MOD_RELAY_HPACK_ENTRIES;
    h->entries[h->newest] = size;
    h->held += size;
    h->count++;
}

static apr_uint32_t entry_size(const mod_relay_hpack *h, apr_uint32_t index)
{
    if (index <= STATIC_ENTRIES)
        return STATIC_SIZE;
    index -= STATIC_ENTRIES + 1;
    if (index >= h->count)
        return TABLE_MAX;
    return h->entries[(h->newest + MOD_RELAY_HPACK_ENTRIES - index) % MOD_RELAY_HPACK_ENTRIES];
}

static void end_field(mod_relay_hpack *h)
{
    if (h->indexing)
        insert(h, h->field + ENTRY_OVERHEAD);
    h->fields++;
    h->size += h->field;
    h->state = MOD_RELAY_HPACK_FIELD;
}

static void end_string(mod_relay_hpack *h)
{
    if (h->in_value) {
        end_field(h);
        return;
    }
    h->in_value = 1;
    h->state = MOD_RELAY_HPACK_LENGTH;
}

static void end_number(mod_relay_hpack *h)
{
    switch (h->number_is) {
    case MOD_RELAY_HPACK_INDEX:
        h->field = entry_size(h, h->number);
        h->indexing = 0;
        end_field(h);
        break;
    case MOD_RELAY_HPACK_NAME:
        h->in_value = h->number != 0;
        h->field = h->number ? entry_size(h, h->number) : 0;
        h->state = MOD_RELAY_HPACK_LENGTH;
        break;
    case MOD_RELAY_HPACK_STRING:
        h->skip = h->number;
        h->field +=
            h->huffman ? h->number / 5 * 8 + 8 : h->number; /* a code has five bits at least */
        h->state = MOD_RELAY_HPACK_SKIP;
        if (!h->skip)
            end_string(h);
        break;
    case MOD_RELAY_HPACK_RESIZE:
        h->smaller = h->number < TABLE_MAX ? TABLE_MAX - h->number : 0;
        evict(h, 0);
        h->state = MOD_RELAY_HPACK_FIELD;
        break;
    }
}

/* A number begins; its first byte has this many bits of it. */
static void begin_number(mod_relay_hpack *h, unsigned char byte, unsigned bits, int what)
{
    unsigned mask = (1U << bits) - 1;

    h->number_is = what;
    h->number = byte & mask;
    h->shift = 0;
    h->state = MOD_RELAY_HPACK_NUMBER;
    if (h->number < mask)
        end_number(h);
}

static void begin_field(mod_relay_hpack *h, unsigned char byte)
{
    if (byte & 0x80) {
        begin_number(h, byte, 7, MOD_RELAY_HPACK_INDEX);
        return;
    }
    h->indexing = (byte & 0x40) != 0;
    if (h->indexing)
        begin_number(h, byte, 6, MOD_RELAY_HPACK_NAME);
    else if (byte & 0x20)
        begin_number(h, byte, 5, MOD_RELAY_HPACK_RESIZE);
    else
        begin_number(h, byte, 4, MOD_RELAY_HPACK_NAME);
}

int mod_relay_hpack_follow(mod_relay_hpack *h, unsigned char byte)
{
    switch (h->state) {
    case MOD_RELAY_HPACK_FIELD:
        begin_field(h, byte);
        break;
    case MOD_RELAY_HPACK_NUMBER:
        if (h->shift > 14) /* no number of a head is so large */
            return 0;
        h->number += (apr_uint32_t)(byte & 0x7f) << h->shift;
        h->shift += 7;
        if (!(byte & 0x80))
            end_number(h);
        break;
    case MOD_RELAY_HPACK_LENGTH:
        h->huffman = (byte & 0x80) != 0;
        begin_number(h, byte, 7, MOD_RELAY_HPACK_STRING);
        break;
    case MOD_RELAY_HPACK_SKIP:
        if (--h->skip == 0)
            end_string(h);
        break;
    }
    return 1;
}
