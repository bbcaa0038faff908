/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* hpack.c: how many fields a block has, and how large they are unpacked. Byte strings are blocks of
 * one connection. */
#include "../../mod_relay/answer/hpack.h"
#include "tap.h"

#define BLOCK(bytes) bytes, sizeof(bytes) - 1

static const struct {
    const char *what, *bytes;
    size_t length;
    unsigned fields, least, most; /* sizes */
} blocks[] = {
    {"nothing", BLOCK(""), 0, 0, 0},
    {"one of the fields that are always there", BLOCK("\x88"), 1, 10, 64},
    {"three of them", BLOCK("\x88\x82\x84"), 3, 30, 192},
    {"a literal, not indexed (RFC 7541, C.2.2)", BLOCK("\x04\x0c/sample/path"), 1, 17, 100},
    {"a literal, never indexed (C.2.3)", BLOCK("\x10\x08password\x06secret"), 1, 14, 14},
    {"a literal, indexed, and again (C.2.1)",
     BLOCK("\x40\x0a"
           "custom-key\x0d"
           "custom-header\xbe\xbe"),
     3, 69, 200},
    {"Huffman codes (C.4.1)",
     BLOCK("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"), 4, 30, 400},
    {"empty name and value", BLOCK("\x40\0\0\xbe"), 2, 0, 70},
    {"a number in two bytes", BLOCK("\x0f\x01\x01x"), 1, 1, 70},
    {"what is not in the table counts as the largest", BLOCK("\xff\x20"), 1, 4096, 4096},
    {"a table made small has nothing left",
     BLOCK("\x40\x01"
           "a\x01"
           "b\x20\xbe"),
     2, 4098, 4098},
    {"an entry that does not fit",
     BLOCK("\x3f\x01\x40\x01"
           "a\x7f\x00"
           "0123456789012345678901234567890123456789012345678901234567890123456789"
           "012345678901234567890123456789012345678901234567890123456"
           "\xbe"),
     2, 4200, 4300},
};

int main(void)
{
    unsigned i;
    size_t n;

    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        mod_relay_hpack h = {.fields = 0};
        int good = 1;

        for (n = 0; n < blocks[i].length; n++)
            good &= mod_relay_hpack_follow(&h, (unsigned char)blocks[i].bytes[n]);
        ok(good && h.state == MOD_RELAY_HPACK_FIELD, "%s: it ends with a field", blocks[i].what);
        ok(h.fields == blocks[i].fields, "%u fields", h.fields);
        ok(h.size >= blocks[i].least && h.size <= blocks[i].most, "%u bytes", h.size);
    }
    {
        static const unsigned char endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        mod_relay_hpack h = {.fields = 0};
        int good = 1;

        for (n = 0; n < sizeof(endless); n++)
            good &= mod_relay_hpack_follow(&h, endless[n]);
        ok(!good, "a number without end is none");
    }
    return done_testing();
}
