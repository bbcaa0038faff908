/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: the lines of an answer's head, as mod_relay forgives them. */

#include "../../mod_relay/answer/forgive.h"
#include "fuzz.h"

#include <strings.h>

/* What goes on to httpd is a line that no two readers take in two ways. */
static void judge_field(const char *line, size_t length)
{
    size_t name = 0, i;

    while (name < length && line[name] != ':')
        name++;
    MUST(name && name < length);
    for (i = 0; i < length; i++)
        MUST(((unsigned char)line[i] >= ' ' || line[i] == '\t') && line[i] != 0x7f);
    for (i = 0; i < name; i++)
        MUST(line[i] > ' ' && line[i] < 0x7f);
}

static int is_framing(const char *line)
{
    return strncasecmp(line, "Content-Length:", 15) == 0 ||
           strncasecmp(line, "Transfer-Encoding:", 18) == 0;
}

/* A head of lines, each ended by LF. */
int fuzz_forgive(const char *text, size_t size, apr_pool_t *p)
{
    mod_relay_framing framing = {0};
    char made[MOD_RELAY_LINE_MADE];
    int first = 1, lengths = 0, codings = 0;

    while (size) {
        const char *end = memchr(text, '\n', size), *why = NULL, *goes = text;
        size_t length = end ? (size_t)(end - text) : size;
        mod_relay_line verdict =
            first ? mod_relay_forgive_status(&framing, text, length, made, &why)
                  : mod_relay_forgive_field(&framing, text, length, 0, made, &why);

        if (verdict == MOD_RELAY_LINE_FAULT || verdict == MOD_RELAY_LINE_BODY) {
            MUST(why);
            return 0;
        }
        if (verdict == MOD_RELAY_LINE_DROP)
            MUST(why && !mod_relay_forgive_may_frame(text, length));
        if (verdict == MOD_RELAY_LINE_CHANGE)
            goes = made;
        if (first) {
            size_t i, size_of_it = goes == made ? strlen(made) : length;

            MUST(size_of_it >= 12 && memcmp(goes, "HTTP/1.", 7) == 0);
            for (i = 0; i < size_of_it; i++)
                MUST((unsigned char)goes[i] >= ' ' || goes[i] == '\t');
            MUST(framing.status >= 100 && framing.status <= 599);
        }
        else if (verdict <= MOD_RELAY_LINE_CHANGE) {
            judge_field(goes, goes == made ? strlen(made) : length);
            if (is_framing(goes)) {
                lengths += *goes == 'c' || *goes == 'C';
                codings += *goes == 't' || *goes == 'T';
            }
        }
        first = 0;
        text += length + (end != NULL);
        size -= length + (end != NULL);
    }
    MUST(lengths == framing.sized && codings == framing.chunked);
    return !first;
}
