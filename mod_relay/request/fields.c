/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "fields.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdint.h>
#include <string.h>

/* The reserved names, by first letter: in lower case, with `-` for `_`. A `*` at the end stands for
 * anything. */
static const char *const names_a[] = {"authenticated-user", NULL};
static const char *const names_c[] = {"cf-access-*",  "cf-connecting-*", "cf-pseudo-*",
                                      "client-cert*", "client-ip",       NULL};
static const char *const names_d[] = {"do-connecting-ip", NULL};
static const char *const names_f[] = {"fastly-client-ip", "fly-client-ip", "forwarded*",
                                      "front-end-https", NULL};
static const char *const names_o[] = {"oidc-*", NULL};
static const char *const names_p[] = {"proxy", "proxy-authorization", "proxy-client-ip",
                                      "proxy-user", NULL};
static const char *const names_r[] = {"real-ip", "remote-*", NULL};
static const char *const names_s[] = {"ssl-client-*", NULL};
static const char *const names_t[] = {"tailscale-*", "true-client-ip", NULL};
static const char *const names_w[] = {"wl-proxy-*", NULL};
static const char *const names_x[] = {"x-amzn-oidc-*",
                                      "x-appengine-*",
                                      "x-arr-*",
                                      "x-auth-request-*",
                                      "x-authenticated-*",
                                      "x-authentik-*",
                                      "x-azure-clientip",
                                      "x-azure-socketip",
                                      "x-client-cert*",
                                      "x-client-dn",
                                      "x-client-ip",
                                      "x-client-verify",
                                      "x-clientip",
                                      "x-cluster-client-ip",
                                      "x-envoy-*",
                                      "x-forward*",
                                      "x-goog-authenticated-user-*",
                                      "x-host",
                                      "x-http-host-override",
                                      "x-ip",
                                      "x-ms-client-principal*",
                                      "x-original-*",
                                      "x-originating-*",
                                      "x-proxy-*",
                                      "x-proxyuser-ip",
                                      "x-real-*",
                                      "x-remote-*",
                                      "x-rewrite-*",
                                      "x-scheme",
                                      "x-ssl-*",
                                      "x-tls-client-*",
                                      "x-true-*",
                                      "x-url-scheme",
                                      "x-webauth-*",
                                      NULL};

static const char *const *names_under(char letter)
{
    switch (letter) {
    case 'a':
        return names_a;
    case 'c':
        return names_c;
    case 'd':
        return names_d;
    case 'f':
        return names_f;
    case 'o':
        return names_o;
    case 'p':
        return names_p;
    case 'r':
        return names_r;
    case 's':
        return names_s;
    case 't':
        return names_t;
    case 'w':
        return names_w;
    case 'x':
        return names_x;
    default:
        return NULL;
    }
}

/* A character of a name as the patterns have it. */
static char folded(char c)
{
    return (char)(c == '_' ? '-' : apr_tolower(c));
}

static int matches(const char *name, const char *pattern)
{
    for (; *pattern && *pattern != '*'; name++, pattern++)
        if (folded(*name) != *pattern)
            return 0;
    return *pattern == '*' || !*name;
}

int mod_relay_field_is_reserved(const char *name)
{
    const char *const *at = names_under(folded(*name));
    /* It tells most of them apart, and each has one. */
    char third = (char)(*name && name[1] ? folded(name[2]) : '\0');

    for (; at && *at; at++)
        if ((*at)[2] == third && matches(name, *at))
            return 1;
    return 0;
}

int mod_relay_fields_drop(apr_table_t *fields, int (*unwanted)(const char *name), apr_pool_t *p)
{
    const apr_array_header_t *all = apr_table_elts(fields);
    apr_table_entry_t *kept;
    int i, first, n = 0;

    for (first = 0; first < all->nelts; first++)
        if (unwanted(APR_ARRAY_IDX(all, first, apr_table_entry_t).key))
            break;
    if (first == all->nelts)
        return 0;
    /* apr_table_unset() goes through the whole table for each name. */
    kept = apr_palloc(p, (apr_size_t)all->nelts * sizeof(*kept));
    for (i = 0; i < all->nelts; i++)
        if (i < first || (i > first && !unwanted(APR_ARRAY_IDX(all, i, apr_table_entry_t).key)))
            kept[n++] = APR_ARRAY_IDX(all, i, apr_table_entry_t);
    i = all->nelts - n;
    apr_table_clear(fields);
    for (first = 0; first < n; first++)
        apr_table_addn(fields, kept[first].key, kept[first].val);
    return i;
}

/* ---- Connection */

/* A set of names, looked up without regard to case. */
typedef struct names {
    const char **slots; /* NULL where free */
    char *taken;        /* this one has been found */
    apr_size_t mask;
} names;

static uint32_t hash(const char *name, apr_size_t length)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    while (length--)
        h = (h ^ (uint32_t)(unsigned char)apr_tolower(*name++)) * 16777619u;
    return h ^ (h >> 15);
}

static apr_size_t find(const names *set, const char *name, apr_size_t length)
{
    apr_size_t at = hash(name, length) & set->mask;

    while (set->slots[at] && (strncasecmp(set->slots[at], name, length) || set->slots[at][length]))
        at = (at + 1) & set->mask;
    return at;
}

static void make_names(names *set, const apr_table_t *fields, apr_pool_t *p)
{
    static const char *const known[] = {"close", "keep-alive", "upgrade",
                                        "te",    "trailer",    "http2-settings"};
    const apr_array_header_t *all = apr_table_elts(fields);
    apr_size_t size = 32;
    int i;

    while (size < 2 * (apr_size_t)all->nelts + 16)
        size *= 2;
    set->mask = size - 1;
    set->slots = apr_pcalloc(p, size * sizeof(*set->slots));
    set->taken = apr_pcalloc(p, size);
    for (i = 0; i < (int)(sizeof(known) / sizeof(known[0])); i++)
        set->slots[find(set, known[i], strlen(known[i]))] = known[i];
    for (i = 0; i < all->nelts; i++) {
        const char *name = APR_ARRAY_IDX(all, i, apr_table_entry_t).key;

        if (!mod_relay_field_is_reserved(name))
            set->slots[find(set, name, strlen(name))] = name;
    }
}

const char *mod_relay_connection_kept(const char *value, const apr_table_t *fields, apr_pool_t *p)
{
    static const char separators[] = ", \t";
    apr_size_t length = strlen(value);
    char *kept, *end;
    names set;

    /* Nearly all requests say one of these. */
    if (strcasecmp(value, "keep-alive") == 0 || strcasecmp(value, "close") == 0 ||
        strcasecmp(value, "upgrade") == 0)
        return value;
    make_names(&set, fields, p);
    /* Each remains once and comes from value, with one byte more for its separator. */
    kept = end = apr_palloc(p, 2 * length + 1);
    while (*(value += strspn(value, separators))) {
        apr_size_t token = strcspn(value, separators), at = find(&set, value, token);

        if (set.slots[at] && !set.taken[at]) {
            set.taken[at] = 1;
            if (end > kept) {
                *end++ = ',';
                *end++ = ' ';
            }
            memcpy(end, value, token);
            end += token;
        }
        value += token;
    }
    *end = '\0';
    return end > kept ? kept : NULL;
}
