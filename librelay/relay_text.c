/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_text.h"

#include <apr_lib.h>
#include <stdlib.h>

/* How many bytes a character has, by its first; 0 for a byte that none begins with. */
static int length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first < 0xe0)
        return 2;
    if (first >= 0xe0 && first < 0xf0)
        return 3;
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

int relay_text_decode(const char *text, unsigned long *code)
{
    static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    int n = length(s[0]);

    if (n == 0)
        return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7f >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

int relay_text_is_harmful(unsigned long c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) /* controls */
           || c == 0x061c || c == 0x200e ||
           c == 0x200f /* marks, overrides and isolates of direction */
           || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static int check(const char *text, int plain)
{
    unsigned long code;
    int n;

    for (; *text; text += n)
        if ((n = relay_text_decode(text, &code)) == 0 || (plain && relay_text_is_harmful(code)))
            return 0;
    return 1;
}

int relay_text_is_utf8(const char *text)
{
    return check(text, 0);
}

int relay_text_is_plain(const char *text)
{
    return check(text, 1);
}

int relay_text_unescape(char *text)
{
    char *w = text, hex[3] = {0};

    for (; *text; text++, w++) {
        *w = *text;
        if (*text != '%')
            continue;
        if (!apr_isxdigit(text[1]) || !apr_isxdigit(text[2]))
            return 0;
        hex[0] = text[1];
        hex[1] = text[2];
        if ((*w = (char)strtol(hex, NULL, 16)) == '\0')
            return 0;
        text += 2;
    }
    *w = '\0';
    return 1;
}
