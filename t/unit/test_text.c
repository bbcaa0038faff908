/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay_text: every code point is encoded and decoded again, and what is no UTF-8 is refused:
 * overlong forms of every code point that has one, surrogates, what is too large, what is cut off,
 * and stray bytes.
 */
#include "relay_text.h"
#include "tap.h"

/* The code point in n bytes, whether that is its proper length or not. */
static void encode(char *to, unsigned long code, int n)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    to[n] = '\0';
    for (int i = n - 1; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)(n == 1 ? code : lead[n] | code);
}

static int proper_length(unsigned long code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void test_all(void)
{
    unsigned long code, got, wrong = 0, overlong = 0;
    char text[8];

    for (code = 1; code <= 0x10ffff; code++) {
        int n = proper_length(code), surrogate = code >= 0xd800 && code < 0xe000;

        encode(text, code, n);
        if (relay_text_decode(text, &got) != (surrogate ? 0 : n) || (!surrogate && got != code) ||
            relay_text_is_utf8(text) == surrogate)
            wrong++;
        for (n++; n <= 4; n++) {
            encode(text, code, n);
            if (relay_text_decode(text, &got) != 0 || relay_text_is_utf8(text))
                overlong++;
        }
    }
    ok(wrong == 0, "every code point but the surrogates is decoded (%lu are wrong)", wrong);
    ok(overlong == 0, "no overlong form is taken (%lu are)", overlong);
    for (code = 0x110000, wrong = 0; code < 0x200000; code++) {
        encode(text, code, 4);
        wrong += (unsigned long)relay_text_is_utf8(text);
    }
    ok(wrong == 0, "nothing beyond U+10FFFF is taken (%lu are)", wrong);
}

static void test_pieces(void)
{
    static const char *const bad[] = {"\x80",  "\xbfx",     "\xc3", "\xe2\x82", "\xf0\x9f\x92",
                                      "\xc3(", "\xe2(\xac", "\xff", "\xfe"};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(!relay_text_is_utf8(bad[i]), "no UTF-8: bad text %u", i);
}

static void test_plain(void)
{
    static const unsigned long harmful[] = {0x01,   0x0a,   0x1b,   0x1f,   0x7f,   0x80,
                                            0x9b,   0x9f,   0x61c,  0x200e, 0x200f, 0x2028,
                                            0x2029, 0x202a, 0x202e, 0x2066, 0x2069, 0xfeff};
    static const unsigned long harmless[] = {' ',    '~',    0xa0,   0xe9,   0x627,  0x2027,
                                             0x202f, 0x2065, 0x206a, 0x30b5, 0x1f4be};
    char text[8];

    for (unsigned i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++) {
        encode(text, harmful[i], proper_length(harmful[i]));
        ok(!relay_text_is_plain(text) && relay_text_is_utf8(text), "U+%04lX is UTF-8 and harmful",
           harmful[i]);
    }
    for (unsigned i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        encode(text, harmless[i], proper_length(harmless[i]));
        ok(relay_text_is_plain(text), "U+%04lX is harmless", harmless[i]);
    }
    ok(relay_text_is_plain(""), "so is nothing at all");
}

int main(void)
{
    test_all();
    test_pieces();
    test_plain();
    return done_testing();
}
