/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_print.h"
#include "relay_text.h"

#include <string.h>
#include <time.h>

/* Copies text, and replaces bytes that are no UTF-8 and, where asked, what is harmful. */
static const char *copy(const char *text, const char *replacement, int harmful_too, apr_pool_t *p)
{
    apr_size_t rlen = strlen(replacement);
    char *out = apr_palloc(p, strlen(text) * rlen + 1), *to = out;
    unsigned long code;
    int n;

    while (*text) {
        n = relay_text_decode(text, &code);
        if (n == 0 || (harmful_too && relay_text_is_harmful(code))) {
            memcpy(to, replacement, rlen);
            to += rlen;
        }
        else {
            memcpy(to, text, (size_t)n);
            to += n;
        }
        text += n ? n : 1;
    }
    *to = '\0';
    return out;
}

const char *relay_print_clean(const char *text, apr_pool_t *p)
{
    return copy(text, "?", 1, p);
}

const char *relay_print_utf8(const char *text, apr_pool_t *p)
{
    return relay_text_is_utf8(text) ? text : copy(text, "\xef\xbf\xbd", 0, p);
}

const char *relay_print_shell(const char *word, apr_pool_t *p)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    char *out, *to;

    if (*word && strspn(word, plain) == strlen(word))
        return word;
    to = out = apr_palloc(p, strlen(word) * 4 + 3);
    *to++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        }
        else {
            *to++ = *word;
        }
    }
    *to++ = '\'';
    *to = '\0';
    return out;
}

const char *relay_print_rfc3339(apr_time_t t, apr_pool_t *p)
{
    time_t secs = (time_t)apr_time_sec(t);
    struct tm tm;
    char text[64];

    if (!gmtime_r(&secs, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return "";
    return apr_pstrdup(p, text);
}
