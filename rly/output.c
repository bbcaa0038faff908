/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "output.h"
#include "relay_print.h"
#include "relay_text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define GAP 2 /* between columns */

struct rly_table {
    apr_pool_t *p;
    int ncolumns;
    apr_array_header_t *rows; /* const char ** */
    int has_headings;
};

/* @return the columns of a terminal that a cleaned text takes */
static int width(const char *text)
{
    unsigned long code;
    int n, w, total = 0;

    for (; (n = relay_text_decode(text, &code)) != 0 && code != 0; text += n) {
        w = code < 0x80 ? 1 : wcwidth((wchar_t)code);
        total += w < 0 ? 1 : w;
    }
    return total;
}

rly_table *rly_table_create(apr_pool_t *p, int ncolumns, const char *const *headings)
{
    rly_table *t = apr_pcalloc(p, sizeof(*t));

    t->p = p;
    t->ncolumns = ncolumns;
    t->rows = apr_array_make(p, 16, sizeof(const char **));
    t->has_headings = headings != NULL;
    if (headings)
        rly_table_add(t, headings);
    return t;
}

void rly_table_add(rly_table *t, const char *const *cells)
{
    const char **row = apr_palloc(t->p, sizeof(*row) * (apr_size_t)t->ncolumns);

    for (int i = 0; i < t->ncolumns; i++)
        row[i] = cells[i] ? relay_print_clean(cells[i], t->p) : "";
    APR_ARRAY_PUSH(t->rows, const char **) = row;
}

static int column_width(const rly_table *t, int column)
{
    int widest = 0, filled = 0;

    for (int i = 0; i < t->rows->nelts; i++) {
        int w = width(APR_ARRAY_IDX(t->rows, i, const char **)[column]);

        filled |= w > 0 && (i > 0 || !t->has_headings);
        widest = w > widest ? w : widest;
    }
    return filled ? widest : 0;
}

void rly_table_print(const rly_table *t)
{
    int *widths = apr_palloc(t->p, sizeof(*widths) * (apr_size_t)t->ncolumns);
    /* The widths of characters are Unicode's, whatever the user's locale is. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = uselocale(utf8);

    for (int c = 0; c < t->ncolumns; c++)
        widths[c] = column_width(t, c);
    for (int i = 0; i < t->rows->nelts; i++) {
        const char **row = APR_ARRAY_IDX(t->rows, i, const char **);
        int pending = 0; /* spaces that are written only if something follows */

        for (int c = 0; c < t->ncolumns; c++) {
            if (widths[c] == 0)
                continue;
            if (*row[c]) {
                printf("%*s%s", pending, "", row[c]);
                pending = 0;
            }
            pending += widths[c] - width(row[c]) + GAP;
        }
        putchar('\n');
    }
    uselocale(before);
    if (utf8)
        freelocale(utf8);
}

const char *rly_time_local(apr_time_t t, apr_pool_t *p)
{
    time_t secs = (time_t)apr_time_sec(t);
    struct tm tm;
    char text[64];

    if (!localtime_r(&secs, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M %Z", &tm))
        return "";
    return apr_pstrdup(p, text);
}

const char *rly_time_span(apr_interval_time_t span, apr_pool_t *p)
{
    static const struct {
        long secs;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    long secs = (long)((span + APR_USEC_PER_SEC / 2) / APR_USEC_PER_SEC);
    int i = 0;

    while (i < 3 && secs < units[i].secs)
        i++;
    if (i == 3 || secs % units[i].secs / units[i + 1].secs == 0)
        return apr_psprintf(p, "%ld %s", secs / units[i].secs, units[i].name);
    return apr_psprintf(p, "%ld %s %ld %s", secs / units[i].secs, units[i].name,
                        secs % units[i].secs / units[i + 1].secs, units[i + 1].name);
}

const char *rly_time_both(apr_time_t t, apr_time_t now, apr_pool_t *p)
{
    const char *date = rly_time_local(t, p);

    if (t > now - APR_USEC_PER_SEC && t < now + APR_USEC_PER_SEC)
        return apr_psprintf(p, "%s (now)", date);
    return t >= now ? apr_psprintf(p, "%s (in %s)", date, rly_time_span(t - now, p))
                    : apr_psprintf(p, "%s (%s ago)", date, rly_time_span(now - t, p));
}

int rly_json_print(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (!text) {
        rly_error("out of memory");
        return RLY_REFUSED;
    }
    puts(text);
    free(text);
    return RLY_DONE;
}
