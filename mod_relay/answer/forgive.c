/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "forgive.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LENGTH "Content-Length"
#define CODING "Transfer-Encoding"
#define LITERAL(text) (sizeof(text) - 1)

/* The characters of a name (RFC 9110, 5.6.2). */
static const unsigned char token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

static int is_token(char c)
{
    return token[(unsigned char)c];
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static apr_size_t skip_blanks(const char *line, apr_size_t at, apr_size_t length)
{
    while (at < length && is_blank(line[at]))
        at++;
    return at;
}

static void trim(const char **at, apr_size_t *length)
{
    while (*length && is_blank(**at)) {
        ++*at;
        --*length;
    }
    while (*length && is_blank((*at)[*length - 1]))
        --*length;
}

/* Eight bytes at a time: this is done for each field of each answer. */
static int has_control(const char *at, apr_size_t length)
{
    const apr_uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
    apr_uint64_t word;

    for (; length >= sizeof(word); at += sizeof(word), length -= sizeof(word)) {
        apr_size_t i;

        memcpy(&word, at, sizeof(word));
        /* One of them may be below 0x20, or 0x7f. */
        if ((((word - ones * 0x20) & ~word) | ((word ^ ones * 0x7f) - ones)) & high)
            for (i = 0; i < sizeof(word); i++)
                if (is_control(at[i]))
                    return 1;
    }
    for (; length; at++, length--)
        if (is_control(*at))
            return 1;
    return 0;
}

/* ---- what may be read as a line that says how long a body is */

static int is_framing(const char *name, apr_size_t length)
{
    return (length == LITERAL(LENGTH) && strncasecmp(name, LENGTH, length) == 0) ||
           (length == LITERAL(CODING) && strncasecmp(name, CODING, length) == 0);
}

/* The characters of names that have come, others left out; no more than the longest name has. */
typedef struct letters {
    char name[LITERAL(CODING)];
    apr_size_t length;
} letters;

static int is_framing_now(letters *l, char c)
{
    if (l->length < sizeof(l->name))
        l->name[l->length] = c;
    return ++l->length <= sizeof(l->name) && is_framing(l->name, l->length);
}

/*
 * Readers differ in what they skip and in what ends a line for them. So the name is looked for with
 * everything left out that cannot be part of one: from the beginning of the line, and anew after
 * each control character.
 */
int mod_relay_forgive_may_frame(const char *line, apr_size_t length)
{
    letters all = {.length = 0}, newest = all;
    apr_size_t i;

    for (i = 0; i < length; i++) {
        if (is_token(line[i])) {
            int found = is_framing_now(&all, line[i]) | is_framing_now(&newest, line[i]);

            /* A longer name is another one. */
            if (found && (i + 1 == length || !is_token(line[i + 1])))
                return 1;
        }
        else if (is_control(line[i]))
            newest.length = 0;
    }
    return 0;
}

static mod_relay_line bad(const char *line, apr_size_t length, const char *reason, const char **why)
{
    apr_size_t i = 0;

    *why = reason;
    while (i < length && line[i] == '\r')
        i++;
    if (i < length && !mod_relay_forgive_may_frame(line, length))
        return MOD_RELAY_LINE_DROP;
    *why = i < length ? "a bad line that could be " LENGTH " or " CODING
                      : "a bad line that could be the end of the head";
    return MOD_RELAY_LINE_FAULT;
}

/* ---- fields that say how long a body is */

/* One length. @return 0 where it is none */
static int read_size(const char *at, apr_size_t length, apr_uint64_t *size)
{
    apr_size_t i;

    trim(&at, &length);
    *size = 0;
    for (i = 0; i < length; i++) {
        if (!is_digit(at[i]) || *size > (APR_INT64_MAX - 9) / 10)
            return 0;
        *size = *size * 10 + (apr_uint64_t)(at[i] - '0');
    }
    return length > 0;
}

static mod_relay_line judge_length(mod_relay_framing *framing, const char *value, apr_size_t length,
                                   char made[MOD_RELAY_LINE_MADE], const char **why)
{
    int before = framing->sized, list = 0;

    trim(&value, &length);
    if (!length)
        return MOD_RELAY_LINE_SKIP;
    for (;;) {
        const char *comma = memchr(value, ',', length);
        apr_size_t item = comma ? (apr_size_t)(comma - value) : length;
        apr_uint64_t size;

        if (!read_size(value, item, &size)) {
            *why = LENGTH " is no number";
            return MOD_RELAY_LINE_FAULT;
        }
        if (framing->sized && framing->size != size) {
            *why = "two different " LENGTH;
            return MOD_RELAY_LINE_FAULT;
        }
        framing->sized = 1;
        framing->size = size;
        if (!comma)
            break;
        list = 1;
        value += item + 1;
        length -= item + 1;
    }
    if (before)
        return MOD_RELAY_LINE_SKIP;
    if (!list)
        return MOD_RELAY_LINE_KEEP;
    snprintf(made, MOD_RELAY_LINE_MADE, LENGTH ": %" APR_UINT64_T_FMT, framing->size);
    return MOD_RELAY_LINE_CHANGE;
}

static int is_word(const char *at, apr_size_t length, const char *word)
{
    trim(&at, &length);
    return length == strlen(word) && strncasecmp(at, word, length) == 0;
}

static mod_relay_line judge_coding(mod_relay_framing *framing, const char *value, apr_size_t length,
                                   char made[MOD_RELAY_LINE_MADE], const char **why)
{
    int before = framing->chunked, list = 0;

    trim(&value, &length);
    while (length) {
        const char *comma = memchr(value, ',', length);
        apr_size_t item = comma ? (apr_size_t)(comma - value) : length;

        if (is_word(value, item, "chunked"))
            framing->chunked = 1;
        else if (!is_word(value, item, "identity")) {
            *why = CODING " is neither chunked nor identity";
            return MOD_RELAY_LINE_FAULT;
        }
        value += comma ? item + 1 : item;
        length -= comma ? item + 1 : item;
        list |= comma != NULL;
        if (comma && !length) {
            *why = CODING " ends in a comma";
            return MOD_RELAY_LINE_FAULT;
        }
    }
    if (before || !framing->chunked)
        return MOD_RELAY_LINE_SKIP;
    if (!list)
        return MOD_RELAY_LINE_KEEP;
    memcpy(made, CODING ": chunked", sizeof(CODING ": chunked"));
    return MOD_RELAY_LINE_CHANGE;
}

/* ---- a field */

/* So the fields that go round mod_proxy (head.c) do not say how long a body is. */
#define FRAMING_MAX 1000

mod_relay_line mod_relay_forgive_field(mod_relay_framing *framing, const char *line,
                                       apr_size_t length, int folded,
                                       char made[MOD_RELAY_LINE_MADE], const char **why)
{
    apr_size_t name = 0;
    int frames;

    while (name < length && is_token(line[name]))
        name++;
    if (name == length || line[name] != ':' || !name) {
        const char *reason = name == length || !memchr(line, ':', length) ? "no colon"
                             : !name && line[0] == ':'                    ? "no name"
                             : is_blank(line[0])    ? "a blank at its beginning"
                             : is_blank(line[name]) ? "a blank before the colon"
                                                    : "a name with other characters in it";

        return bad(line, length, reason, why);
    }
    frames = is_framing(line, name);
    if (has_control(line + name, length - name)) {
        if (!frames)
            return bad(line, length, "a control character", why);
        *why = LENGTH " or " CODING " with a control character in it";
        return MOD_RELAY_LINE_FAULT;
    }
    if (!frames)
        return MOD_RELAY_LINE_KEEP;
    if (folded || length > FRAMING_MAX) {
        *why = folded ? LENGTH " or " CODING " in more than one line"
                      : "a " LENGTH " or " CODING " that is too long";
        return MOD_RELAY_LINE_FAULT;
    }
    return name == LITERAL(LENGTH)
               ? judge_length(framing, line + name + 1, length - name - 1, made, why)
               : judge_coding(framing, line + name + 1, length - name - 1, made, why);
}

/* ---- the status line */

/* Browsers look for it behind a few bytes of something else. */
#define JUNK_MAX 4

/* Where `HTTP' or `ICY' (Shoutcast) begins. @return JUNK_MAX + 1: nowhere */
static apr_size_t find_protocol(const char *line, apr_size_t length, apr_size_t *word)
{
    apr_size_t at;

    for (at = 0; at <= JUNK_MAX; at++) {
        if (length >= at + LITERAL("HTTP") && strncasecmp(line + at, "HTTP", 4) == 0) {
            *word = LITERAL("HTTP");
            return at;
        }
        if (length >= at + LITERAL("ICY ") && strncasecmp(line + at, "ICY ", 4) == 0) {
            *word = LITERAL("ICY");
            return at;
        }
    }
    return at;
}

int mod_relay_forgive_has_status(const char *line, apr_size_t length)
{
    apr_size_t word;

    return find_protocol(line, length, &word) <= JUNK_MAX;
}

/* A reason is for people; browsers and HTTP/2 do not show it. */
#define REASON_MAX 128

/* As nearly all of them are. */
static int is_usual(const char *line, apr_size_t length)
{
    return length >= LITERAL("HTTP/1.1 200") && length <= LITERAL("HTTP/1.1 200 ") + REASON_MAX &&
           memcmp(line, "HTTP/1.", LITERAL("HTTP/1.")) == 0 && (line[7] == '0' || line[7] == '1') &&
           line[8] == ' ' && line[9] >= '1' && line[9] <= '5' && is_digit(line[10]) &&
           is_digit(line[11]) && (length == LITERAL("HTTP/1.1 200") || line[12] == ' ') &&
           !has_control(line, length);
}

/* `/1.1', or nothing. @return what comes behind it; *minor is 0 or 1, as httpd is told */
static apr_size_t read_version(const char *line, apr_size_t at, apr_size_t length, int *minor)
{
    int major = 1;

    *minor = 0;
    if (at >= length || line[at] != '/')
        return at;
    at = skip_blanks(line, at + 1, length);
    if (at < length && is_digit(line[at]))
        major = line[at++] - '0';
    if (at + 1 < length && line[at] == '.' && is_digit(line[at + 1])) {
        *minor = major == 1 && line[at + 1] > '0';
        at += 2;
    }
    if (major > 1)
        *minor = 1;
    return at;
}

mod_relay_line mod_relay_forgive_status(mod_relay_framing *framing, const char *line,
                                        apr_size_t length, char made[MOD_RELAY_LINE_MADE],
                                        const char **why)
{
    apr_size_t word, begin, at, digits, reason;
    int minor;

    if (is_usual(line, length)) {
        framing->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        return MOD_RELAY_LINE_KEEP;
    }
    begin = find_protocol(line, length, &word);
    if (begin > JUNK_MAX) {
        /* HTTP/0.9, as browsers take it: the page, and nothing before it. */
        at = skip_blanks(line, 0, length);
        *why = "no status line";
        return at < length && line[at] == '<' ? MOD_RELAY_LINE_BODY : MOD_RELAY_LINE_FAULT;
    }
    at = read_version(line, begin + word, length, &minor);
    digits = skip_blanks(line, at, length);
    *why = "a status line without a status from 100 to 599";
    if (digits == at || length < digits + 3 || line[digits] < '1' || line[digits] > '5' ||
        !is_digit(line[digits + 1]) || !is_digit(line[digits + 2]) ||
        (length > digits + 3 && is_digit(line[digits + 3])))
        return MOD_RELAY_LINE_FAULT;
    framing->status =
        (line[digits] - '0') * 100 + (line[digits + 1] - '0') * 10 + (line[digits + 2] - '0');
    reason = skip_blanks(line, digits + 3, length);
    for (at = reason; at < length && !is_control(line[at]); at++)
        continue;
    if (at < length && mod_relay_forgive_may_frame(line + at, length - at)) {
        *why = "a status line with " LENGTH " or " CODING " in it";
        return MOD_RELAY_LINE_FAULT;
    }
    snprintf(made, MOD_RELAY_LINE_MADE, "HTTP/1.%d %d %.*s", minor, framing->status,
             (int)(at - reason < REASON_MAX ? at - reason : REASON_MAX), line + reason);
    return MOD_RELAY_LINE_CHANGE;
}
