/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* forgive.c: status lines and fields of a device's answer, as browsers forgive them. */
#include "../../mod_relay/answer/forgive.h"
#include "tap.h"

#include <time.h>

#define KEEP MOD_RELAY_LINE_KEEP
#define CHANGE MOD_RELAY_LINE_CHANGE
#define SKIP MOD_RELAY_LINE_SKIP
#define DROP MOD_RELAY_LINE_DROP
#define BODY MOD_RELAY_LINE_BODY
#define FAULT MOD_RELAY_LINE_FAULT
/* A text with its length, since it may hold NULs. */
#define LINE(text) (text), sizeof(text) - 1

static const struct {
    const char *line;
    apr_size_t length;
    mod_relay_line verdict;
    int status;
    const char *made; /* where it is CHANGE */
} statuses[] = {
    {LINE("HTTP/1.1 200 OK"), KEEP, 200, NULL},
    {LINE("HTTP/1.0 404 Not Found"), KEEP, 404, NULL},
    {LINE("HTTP/1.1 200"), KEEP, 200, NULL},
    {LINE("HTTP/1.1 200 "), KEEP, 200, NULL},
    {LINE("HTTP/1.1 100 Continue"), KEEP, 100, NULL},
    {LINE("HTTP/1.1 599 \xe4\xf6"), KEEP, 599, NULL},
    {LINE("HTTP/1.1 200 a\tb"), KEEP, 200, NULL},
    {LINE("http/1.1 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HtTp/1.0 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("ICY 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("icy 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("HTTP 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("HTTP/1 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("HTTP/0.9 200 OK"), CHANGE, 200, "HTTP/1.0 200 OK"},
    {LINE("HTTP/1.2 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/2 200"), CHANGE, 200, "HTTP/1.1 200 "},
    {LINE("HTTP/2.0 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/ 1.1 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/1.1 200OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/1.1  200  OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/1.1\t200\tOK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE(" HTTP/1.1 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("    HTTP/1.1 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("\xef\xbb\xbfHTTP/1.1 200 OK"), CHANGE, 200, "HTTP/1.1 200 OK"},
    {LINE("HTTP/1.1 200 O\rK"), CHANGE, 200, "HTTP/1.1 200 O"},
    {LINE("HTTP/1.1 200 O\0K"), CHANGE, 200, "HTTP/1.1 200 O"},
    {LINE("HTTP/1.1 200 \x1b[2J"), CHANGE, 200, "HTTP/1.1 200 "},
    {LINE("HTTP/1.1 200\x7f"), CHANGE, 200, "HTTP/1.1 200 "},
    {LINE("HTTP/1.1 200\r"), CHANGE, 200, "HTTP/1.1 200 "},
    {LINE("HTTP/1.1 200 a\rContent-Lengths: 5"), CHANGE, 200, "HTTP/1.1 200 a"},
    {LINE("<html>"), BODY, 0, NULL},
    {LINE("  \t<!DOCTYPE html>"), BODY, 0, NULL},
    {LINE("<"), BODY, 0, NULL},
    {LINE(""), FAULT, 0, NULL},
    {LINE("   "), FAULT, 0, NULL},
    {LINE("hello"), FAULT, 0, NULL},
    {LINE("\0\0\0\4\0\0\0\0\0"), FAULT, 0, NULL},
    {LINE("\x16\x03\x01"), FAULT, 0, NULL},
    {LINE("SSH-2.0-OpenSSH_9.2"), FAULT, 0, NULL},
    {LINE("Content-Type: text/html"), FAULT, 0, NULL},
    {LINE("     HTTP/1.1 200 OK"), FAULT, 0, NULL},
    {LINE("HTT"), FAULT, 0, NULL},
    {LINE("HTTP"), FAULT, 0, NULL},
    {LINE("HTTPS 200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/"), FAULT, 0, NULL},
    {LINE("HTTP/1.1"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 "), FAULT, 0, NULL},
    {LINE("HTTP/1.1 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 2"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 20"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 20x OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 2000"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 20000000000 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 -200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 000 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 099 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 600 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 999 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/9.9.9 200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/11 200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.10 200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1\r 200 OK"), FAULT, 0, NULL},
    {LINE("HTTP/1.1 200 OK\rContent-Length: 5"), FAULT, 200, NULL},
    {LINE("HTTP/1.1 200 OK\0\r\tTransfer-Encoding: chunked"), FAULT, 200, NULL},
};

static const struct {
    const char *line;
    apr_size_t length;
    mod_relay_line verdict;
} fields[] = {
    {LINE("X: y"), KEEP},
    {LINE("X:y"), KEEP},
    {LINE("X:"), KEEP},
    {LINE("X:: y"), KEEP},
    {LINE("!#$%&'*+-.^_`|~09AZaz: y"), KEEP},
    {LINE("X: a\tb"), KEEP},
    {LINE("X: \x80\xff"), KEEP},
    {LINE("X:  Content-Length: 5"), KEEP},
    {LINE("Content-Lengt: 5"), KEEP},
    {LINE("Content-Lengths: 5"), KEEP},
    {LINE("XContent-Length: 5"), KEEP},
    {LINE("Content_Length: 5"), KEEP},
    {LINE("Transfer-Encodings: chunked"), KEEP},
    {LINE("Trailer: Content-Length"), KEEP},
    /* left out */
    {LINE("no colon"), DROP},
    {LINE("X"), DROP},
    {LINE("HTTP/1.1 200 OK"), DROP},
    {LINE("<html>"), DROP},
    {LINE(":"), DROP},
    {LINE(": y"), DROP},
    {LINE("X : y"), DROP},
    {LINE("X\t: y"), DROP},
    {LINE(" X: y"), DROP},
    {LINE("\tX: y"), DROP},
    {LINE("X Y: z"), DROP},
    {LINE("X\0: y"), DROP},
    {LINE("X\0Y: z"), DROP},
    {LINE("\0X: y"), DROP},
    {LINE("\x80: y"), DROP},
    {LINE("X\xe4: y"), DROP},
    {LINE("(x): y"), DROP},
    {LINE("\"x\": y"), DROP},
    {LINE("X: \0"), DROP},
    {LINE("X: a\0b"), DROP},
    {LINE("X: a\rb"), DROP},
    {LINE("X: a\r"), DROP},
    {LINE("X: \x01"), DROP},
    {LINE("X: \x1f"), DROP},
    {LINE("X: \x7f"), DROP},
    {LINE("X: \x1b[2J"), DROP},
    {LINE("X: 1234567\x1f"), DROP},
    {LINE("X: 12345678\x7f"), DROP},
    {LINE("X: \xff\xff\xff\xff\xff\xff\xff\xff\x7f"), DROP},
    {LINE("X: a\nb"), DROP},
    {LINE("Content-Lengths : 5"), DROP},
    {LINE("X-Content-Length : 5"), DROP},
    {LINE("Content Length: 5"), DROP},
    {LINE("Access-Control-Expose-Headers : Content-Length"), DROP},
    {LINE("Access-Control-Expose-Headers Content-Length"), DROP},
    /* which might say how long a body is */
    {LINE("Content-Length"), FAULT},
    {LINE("Content-Length 5"), FAULT},
    {LINE("Content-Length : 5"), FAULT},
    {LINE("content-length\t: 5"), FAULT},
    {LINE("CONTENT-LENGTH\v: 5"), FAULT},
    {LINE("Content-Length\0: 5"), FAULT},
    {LINE("Content-Length\r: 5"), FAULT},
    {LINE("Content-Length\xa0: 5"), FAULT},
    {LINE("Content-\0Length: 5"), FAULT},
    {LINE("Content-\x80Length: 5"), FAULT},
    {LINE("\xef\xbb\xbf"
          "Content-Length: 5"),
     FAULT},
    {LINE(" Content-Length: 5"), FAULT},
    {LINE("\tTransfer-Encoding: chunked"), FAULT},
    {LINE("Transfer-Encoding : chunked"), FAULT},
    {LINE("Transfer-Encoding\t: chunked"), FAULT},
    {LINE("Transfer-Encoding"), FAULT},
    {LINE("Transfer-Encoding chunked"), FAULT},
    {LINE("transfer-\rencoding: chunked"), FAULT},
    {LINE(":Content-Length: 5"), FAULT},
    {LINE(": Transfer-Encoding: chunked"), FAULT},
    {LINE("\"Content-Length\": 5"), FAULT},
    {LINE("X: a\rContent-Length: 5"), FAULT},
    {LINE("X: a\r\r\tContent-Length : 5"), FAULT},
    {LINE("X: a\0Transfer-Encoding: chunked"), FAULT},
    {LINE("X: a\x0c"
          "Transfer-Encoding: chunked"),
     FAULT},
    {LINE("X: a\x1c"
          "content-length: 5"),
     FAULT},
    {LINE("X y\rContent-Length: 5"), FAULT},
    /* which might end the head */
    {LINE("\r"), FAULT},
    {LINE("\r\r\r"), FAULT},
    /* lengths */
    {LINE("Content-Length: 5"), KEEP},
    {LINE("content-LENGTH:5"), KEEP},
    {LINE("Content-Length:\t5 "), KEEP},
    {LINE("Content-Length: 0"), KEEP},
    {LINE("Content-Length: 9223372036854775807"), FAULT},
    {LINE("Content-Length: 922337203685477580"), KEEP},
    {LINE("Content-Length: 99999999999999999999"), FAULT},
    {LINE("Content-Length: 18446744073709551621"), FAULT},
    {LINE("Content-Length: -5"), FAULT},
    {LINE("Content-Length: +5"), FAULT},
    {LINE("Content-Length: 5.0"), FAULT},
    {LINE("Content-Length: 0x5"), FAULT},
    {LINE("Content-Length: 5 5"), FAULT},
    {LINE("Content-Length: 5;"), FAULT},
    {LINE("Content-Length: 5\0"), FAULT},
    {LINE("Content-Length: 5\r"), FAULT},
    {LINE("Content-Length: \xb2"), FAULT},
    {LINE("Content-Length: 5,"), FAULT},
    {LINE("Content-Length: ,5"), FAULT},
    {LINE("Content-Length: 5,,5"), FAULT},
    {LINE("Content-Length: 5, 6"), FAULT},
    {LINE("Content-Length: 5, x"), FAULT},
    {LINE("Content-Length: 5, 5"), CHANGE},
    {LINE("Content-Length: 5 ,\t5,5"), CHANGE},
    {LINE("Content-Length:"), SKIP},
    {LINE("Content-Length: \t"), SKIP},
    /* codings */
    {LINE("Transfer-Encoding: chunked"), KEEP},
    {LINE("transfer-encoding:CHUNKED "), KEEP},
    {LINE("Transfer-Encoding: chunked, chunked"), CHANGE},
    {LINE("Transfer-Encoding: identity, chunked"), CHANGE},
    {LINE("Transfer-Encoding: identity"), SKIP},
    {LINE("Transfer-Encoding: identity,Identity"), SKIP},
    {LINE("Transfer-Encoding:"), SKIP},
    {LINE("Transfer-Encoding: ,"), FAULT},
    {LINE("Transfer-Encoding: chunked,"), FAULT},
    {LINE("Transfer-Encoding: , chunked"), FAULT},
    {LINE("Transfer-Encoding: xchunked"), FAULT},
    {LINE("Transfer-Encoding: chunkedx"), FAULT},
    {LINE("Transfer-Encoding: chunk"), FAULT},
    {LINE("Transfer-Encoding: chunked;x=y"), FAULT},
    {LINE("Transfer-Encoding: \"chunked\""), FAULT},
    {LINE("Transfer-Encoding: gzip"), FAULT},
    {LINE("Transfer-Encoding: gzip, chunked"), FAULT},
    {LINE("Transfer-Encoding: chunked, gzip"), FAULT},
    {LINE("Transfer-Encoding: chunked\0"), FAULT},
    {LINE("Transfer-Encoding: \x0b"
          "chunked"),
     FAULT},
};

/* Two lines of one head, and what becomes of the second. */
static const struct {
    const char *first, *second;
    mod_relay_line verdict;
} pairs[] = {
    {"Content-Length: 5", "Content-Length: 5", SKIP},
    {"Content-Length: 5", "content-length: 05", SKIP},
    {"Content-Length: 5", "Content-Length: 5, 5", SKIP},
    {"Content-Length: 5, 5", "Content-Length: 5", SKIP},
    {"Content-Length: 5", "Content-Length:", SKIP},
    {"Content-Length:", "Content-Length: 5", KEEP},
    {"Content-Length: 5", "Content-Length: 6", FAULT},
    {"Content-Length: 5", "Content-Length: 5, 6", FAULT},
    {"Content-Length: 0", "Content-Length: 5", FAULT},
    {"Content-Length: 5", "Transfer-Encoding: chunked", KEEP},
    {"Transfer-Encoding: chunked", "Content-Length: x", FAULT},
    {"Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", SKIP},
    {"Transfer-Encoding: identity", "Transfer-Encoding: chunked", KEEP},
    {"Transfer-Encoding: chunked", "Transfer-Encoding: identity", SKIP},
    {"Transfer-Encoding: chunked", "Transfer-Encoding: gzip", FAULT},
};

static void test_pairs(void)
{
    char made[MOD_RELAY_LINE_MADE];
    const char *why = NULL;
    unsigned i;

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        mod_relay_framing f = {0};

        mod_relay_forgive_field(&f, pairs[i].first, strlen(pairs[i].first), 0, made, &why);
        ok(mod_relay_forgive_field(&f, pairs[i].second, strlen(pairs[i].second), 0, made, &why) ==
               pairs[i].verdict,
           "`%s', then `%s'", pairs[i].first, pairs[i].second);
    }
}

static void test_fields(void)
{
    static const char folded[] = "Content-Length: 5", plain[] = "X: a b";
    char made[MOD_RELAY_LINE_MADE];
    mod_relay_framing f = {0};
    const char *why;
    unsigned i;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        mod_relay_framing one = {0};
        mod_relay_line verdict;

        why = NULL;
        verdict = mod_relay_forgive_field(&one, fields[i].line, fields[i].length, 0, made, &why);
        ok(verdict == fields[i].verdict, "field %u, `%s': %d", i, fields[i].line, (int)verdict);
        ok((verdict >= DROP) == (why != NULL), "… and why: %s", why ? why : "-");
    }
    ok(mod_relay_forgive_field(&f, LINE(folded), 1, made, &why) == FAULT, "a folded length");
    ok(mod_relay_forgive_field(&f, LINE(plain), 1, made, &why) == KEEP, "another folded field");
    mod_relay_forgive_field(&f, LINE("Content-Length: 007 ,7"), 0, made, &why);
    is(made, "Content-Length: 7", "a list becomes one number");
    mod_relay_forgive_field(&f, LINE("Transfer-Encoding: Chunked , chunked"), 0, made, &why);
    is(made, "Transfer-Encoding: chunked", "and so do codings");
    ok(f.chunked && f.sized && f.size == 7, "both are known");
}

static void test_statuses(void)
{
    char made[MOD_RELAY_LINE_MADE], much[9000] = "HTTP/1.1 200 ";
    mod_relay_framing f = {0};
    const char *why;
    unsigned i;

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        mod_relay_framing one = {0};
        mod_relay_line verdict;

        made[0] = '\0';
        verdict = mod_relay_forgive_status(&one, statuses[i].line, statuses[i].length, made, &why);
        ok(verdict == statuses[i].verdict && one.status == statuses[i].status,
           "status line %u, `%s': %d, %d", i, statuses[i].line, (int)verdict, one.status);
        if (statuses[i].made)
            is(made, statuses[i].made, "… becomes this");
    }
    memset(much + strlen(much), 'x', sizeof(much) - 20);
    ok(mod_relay_forgive_status(&f, much, sizeof(much) - 7, made, &why) == CHANGE &&
           strlen(made) == strlen("HTTP/1.1 200 ") + 128,
       "a reason of 9 kB is cut");
    ok(mod_relay_forgive_has_status(LINE("HTTP")) && mod_relay_forgive_has_status(LINE("  icy ")) &&
           !mod_relay_forgive_has_status(LINE("     HTTP")) &&
           !mod_relay_forgive_has_status(LINE("<html>")) && !mod_relay_forgive_has_status("", 0),
       "what has a status line");
}

static void test_linear(void)
{
    static const char *const pieces[] = {"\r",   "a\rb", "Content-Lengt\r",     ",", "5,",
                                         "\x80", ":",    "Transfer-Encodin\x01"};
    static const char *const begins[] = {"", "X: ", "Content-Length: ", "Transfer-Encoding: "};
    enum { SIZE = 1 << 20 };
    static char text[SIZE + 100];
    char made[MOD_RELAY_LINE_MADE];
    unsigned i, k;
    const char *why;

    for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        for (k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            mod_relay_framing f = {0};
            apr_size_t length = strlen(begins[i]), piece = strlen(pieces[k]);
            clock_t began = clock();

            memcpy(text, begins[i], length);
            for (; length + piece <= SIZE; length += piece)
                memcpy(text + length, pieces[k], piece);
            mod_relay_forgive_field(&f, text, length, 0, made, &why);
            mod_relay_forgive_status(&f, text, length, made, &why);
            ok(clock() - began < 2 * CLOCKS_PER_SEC, "1 MB of piece %u behind `%s': linear", k,
               begins[i]);
        }
}

int main(void)
{
    test_statuses();
    test_fields();
    test_pairs();
    test_linear();
    return done_testing();
}
