/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "addresses.h"
#include "hosts.h"

#include <apr_cstr.h>
#include <apr_lib.h>
#include <string.h>
#include <strings.h>

#define PORT_MAX 65535

/* ---- a URL, as browsers read it */

/* In URLs of the web they take one for the other. */
static int is_slash(char c)
{
    return c == '/' || c == '\\';
}

/* @return what follows the slashes at *at, which become counted */
static const char *past_slashes(const char *at, const char *end, int *count)
{
    for (*count = 0; (at = mod_relay_past_removed(at, end)) < end && is_slash(*at); at++)
        if (*count < 2)
            ++*count;
    return at;
}

#define SCHEME_SIZE 8

/* @return what follows the colon, or NULL where there is no scheme; a long one is cut */
static const char *read_scheme(const char *at, const char *end, char scheme[SCHEME_SIZE])
{
    apr_size_t n = 0;

    at = mod_relay_past_removed(at, end);
    if (at == end || !apr_isalpha(*at))
        return NULL;
    for (; at < end && *at != ':'; at = mod_relay_past_removed(at + 1, end)) {
        if (!apr_isalnum(*at) && *at != '+' && *at != '-' && *at != '.')
            return NULL;
        if (n < SCHEME_SIZE - 1)
            scheme[n++] = (char)apr_tolower(*at);
    }
    scheme[n] = '\0';
    return at < end ? at + 1 : NULL;
}

/* @return 0 where it is no port */
static int is_port(const char *at, const char *end)
{
    unsigned n = 0;

    for (; (at = mod_relay_past_removed(at, end)) < end; at++) {
        if (!apr_isdigit(*at) || (n = n * 10 + (unsigned)(*at - '0')) > PORT_MAX)
            return 0;
    }
    return 1;
}

/* host[:port]. @return 0 where browsers refuse it */
static int read_host(mod_relay_host *host, const char *at, const char *end)
{
    const char *colon = at;
    int inside = 0;

    for (; colon < end && (inside || *colon != ':'); colon++)
        if (*colon == '[' || *colon == ']')
            inside = *colon == '[';
    return mod_relay_host_read(host, at, (apr_size_t)(colon - at)) &&
           (colon == end || is_port(colon + 1, end));
}

typedef enum {
    ELSEWHERE, /* not of the web, or refused by browsers */
    PATH,      /* has no host: is relative to the page */
    HOST
} kind;

typedef struct url {
    kind kind;
    int socket;              /* ws: or wss: */
    int scheme;              /* there is one */
    const char *begin, *end; /* of the URL, without the blanks around it */
    const char *at;          /* HOST: where user and host begin */
    const char *tail;        /* what follows scheme or host */
    mod_relay_host host;
} url;

static void read_authority(url *u)
{
    const char *at = u->at, *c;

    for (c = at; c < u->end && !is_slash(*c) && *c != '?' && *c != '#'; c++)
        if (*c == '@') /* a user and his password; the last one counts */
            at = c + 1;
    u->tail = c;
    u->kind = read_host(&u->host, at, c) ? HOST : ELSEWHERE;
}

/*
 * @param base the scheme of the page that the URL stands on. `http:x` without slashes means the
 * path x there if the page has that scheme, and else the host x
 */
static void read_url(url *u, const char *at, const char *end, const char *base)
{
    char scheme[SCHEME_SIZE];
    const char *after;
    int slashes;

    while (at < end && (unsigned char)*at <= ' ')
        at++;
    while (end > at && (unsigned char)end[-1] <= ' ')
        end--;
    u->begin = at;
    u->end = end;
    u->socket = u->scheme = 0;
    u->kind = ELSEWHERE;
    u->tail = end;
    if ((after = read_scheme(at, end, scheme)) != NULL) {
        u->scheme = 1;
        u->socket = strcmp(scheme, "ws") == 0 || strcmp(scheme, "wss") == 0;
        if (!u->socket && strcmp(scheme, "http") && strcmp(scheme, "https"))
            return;
        at = after;
    }
    u->at = past_slashes(at, end, &slashes);
    if (slashes < 2 && (!after || strcmp(scheme, base) == 0)) {
        u->kind = PATH;
        u->tail = mod_relay_past_removed(at, end);
    }
    else {
        read_authority(u);
    }
}

/* ---- whose it is, and how it reads for visitors */

typedef enum { ANOTHERS, OWN, PUBLIC } owner;

static owner owner_of(const mod_relay_addresses *a, const mod_relay_host *host)
{
    const char *const *own;
    mod_relay_host known;

    if (mod_relay_host_is_under(host, a->domain))
        return strcmp(host->name, a->name) == 0 ? PUBLIC : ANOTHERS;
    for (own = a->own; *own; own++)
        if (read_host(&known, *own, *own + strlen(*own)) && mod_relay_host_is(&known, host))
            return OWN;
    return mod_relay_host_is_near(host) ? OWN : ANOTHERS;
}

/* A change to a URL: all that stands before tail becomes these three. */
typedef struct change {
    const char *scheme, *authority, *path;
    const char *tail;
} change;

static apr_size_t change_length(const change *c)
{
    return strlen(c->scheme) + strlen(c->authority) + strlen(c->path);
}

/* The URL begins like this already. */
static int is_so(const change *c, const url *u)
{
    const char *scheme = u->scheme ? c->scheme : strchr(c->scheme, ':') + 1;
    apr_size_t length = strlen(scheme), more = strlen(c->authority);

    return !*c->path && (apr_size_t)(u->tail - u->begin) == length + more &&
           apr_cstr_casecmpn(u->begin, scheme, length) == 0 &&
           apr_cstr_casecmpn(u->begin + length, c->authority, more) == 0;
}

/* A path behind a host. */
static int change_host(change *c, const url *u, const mod_relay_addresses *a)
{
    int tls = strcmp(a->scheme, "https") == 0;

    c->scheme = u->socket ? (tls ? "wss://" : "ws://") : tls ? "https://" : "http://";
    c->authority = a->authority;
    if (u->tail < u->end && *u->tail == '\\') {
        c->path = "/";
        c->tail = u->tail + 1;
    }
    return !is_so(c, u);
}

/* A path alone. One that begins with two slashes would be read as a host. */
static int change_path(change *c, const url *u)
{
    const char *next;

    c->path = "/";
    if (u->tail == u->end || !is_slash(*u->tail))
        return 1;
    c->tail = u->tail + 1;
    next = mod_relay_past_removed(c->tail, u->end);
    if (next < u->end && is_slash(*next))
        c->path = "/./";
    return 1;
}

/* `http:path` for a device that is asked by http. On the visitor's page, by https, that is a host.
 */
static int change_scheme(change *c, const url *u, const mod_relay_addresses *a)
{
    if (!u->scheme || strcmp(a->scheme, a->device_scheme) == 0 || u->tail == u->end)
        return 0;
    if (is_slash(*u->tail))
        return change_path(c, u);
    /* So that `x:y` stays a path. */
    c->path = *u->tail == '?' || *u->tail == '#' ? "" : "./";
    return 1;
}

/* @return 0 where the URL stays as it is */
static int change_url(change *c, const mod_relay_addresses *a, const char *at, const char *end)
{
    owner whose;
    url u;

    read_url(&u, at, end, a->device_scheme);
    c->scheme = c->authority = c->path = "";
    c->tail = u.tail;
    if (u.kind != HOST)
        return u.kind == PATH && change_scheme(c, &u, a);
    whose = owner_of(a, &u.host);
    if (whose == ANOTHERS)
        return 0;
    return whose == PUBLIC || u.socket ? change_host(c, &u, a) : change_path(c, &u);
}

/* ---- fields */

mod_relay_field mod_relay_field_of(const char *name)
{
    switch (*name) {
    case 'L':
    case 'l':
        return strcasecmp(name, "Location") == 0 ? MOD_RELAY_FIELD_URL
               : strcasecmp(name, "Link") == 0   ? MOD_RELAY_FIELD_LINK
                                                 : MOD_RELAY_FIELD_OTHER;
    case 'C':
    case 'c':
        return strcasecmp(name, "Content-Location") == 0 ? MOD_RELAY_FIELD_URL
                                                         : MOD_RELAY_FIELD_OTHER;
    case 'D':
    case 'd':
        return strcasecmp(name, "Destination") == 0 ? MOD_RELAY_FIELD_URL : MOD_RELAY_FIELD_OTHER;
    case 'R':
    case 'r':
        return strcasecmp(name, "Refresh") == 0 ? MOD_RELAY_FIELD_REFRESH : MOD_RELAY_FIELD_OTHER;
    default:
        return MOD_RELAY_FIELD_OTHER;
    }
}

static const char *past_blanks(const char *at)
{
    while (apr_isspace(*at))
        at++;
    return at;
}

/* The URL of a Refresh field (HTML, "shared declarative refresh steps"). */
static int refresh_url(const char *value, const char **begin, const char **end)
{
    const char *at = past_blanks(value), *time = at, *after;

    at += strspn(at, "0123456789");
    if (at == time && *at != '.')
        return 0;
    at += strspn(at, "0123456789.");
    if (*at != ';' && *at != ',' && !apr_isspace(*at))
        return 0;
    at = past_blanks(at);
    if (*at == ';' || *at == ',')
        at = past_blanks(at + 1);
    if (apr_cstr_casecmpn(at, "url", 3) == 0 && *(after = past_blanks(at + 3)) == '=')
        at = past_blanks(after + 1);
    *end = NULL;
    if (*at == '"' || *at == '\'') {
        *end = strchr(at + 1, *at);
        at++;
    }
    if (!*end)
        *end = at + strlen(at);
    *begin = at;
    return 1;
}

/* @return what follows the next comma outside of quotes, or the end */
static const char *past_parameters(const char *at)
{
    int quoted = 0;

    for (; *at && (quoted || *at != ','); at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '\\' && quoted && at[1])
            at++;
    }
    return *at ? at + 1 : at;
}

/* The next URL of a Link field (RFC 8288, 3). *at: where to go on */
static int link_url(const char **at, const char **begin, const char **end)
{
    while (*(*at = past_blanks(*at))) {
        if (**at == '<') {
            *begin = *at + 1;
            if ((*end = strchr(*begin, '>')) == NULL)
                return 0;
            *at = past_parameters(*end);
            return 1;
        }
        *at = past_parameters(*at);
    }
    return 0;
}

/* *at: the value at first; NULL when the last URL has been found */
static int next_url(mod_relay_field field, const char **at, const char **begin, const char **end)
{
    const char *value = *at;

    if (field == MOD_RELAY_FIELD_LINK)
        return link_url(at, begin, end);
    *at = NULL;
    if (field == MOD_RELAY_FIELD_REFRESH)
        return value && refresh_url(value, begin, end);
    *begin = value;
    *end = value ? value + strlen(value) : NULL;
    return value != NULL;
}

/* @return how many bytes more the value will have; *changes: how many URLs change */
static apr_ssize_t measure(const mod_relay_addresses *a, mod_relay_field field, const char *value,
                           int *changes)
{
    const char *begin, *end;
    apr_ssize_t grows = 0;
    change c;

    *changes = 0;
    while (next_url(field, &value, &begin, &end)) {
        if (!change_url(&c, a, begin, end))
            continue;
        ++*changes;
        grows += (apr_ssize_t)change_length(&c) - (c.tail - begin);
    }
    return grows;
}

static char *append(char *to, const char *text, apr_size_t length)
{
    memcpy(to, text, length);
    return to + length;
}

const char *mod_relay_addresses_public(mod_relay_addresses *a, mod_relay_field field,
                                       const char *value, apr_pool_t *p)
{
    const char *at = value, *copied = value, *begin, *end;
    apr_ssize_t grows;
    char *out, *to;
    int changes;
    change c;

    grows = measure(a, field, value, &changes);
    if (!changes || grows > (apr_ssize_t)a->room)
        return value;
    if (grows > 0)
        a->room -= (apr_size_t)grows;
    out = to = apr_palloc(p, (apr_size_t)((apr_ssize_t)strlen(value) + grows + 1));
    while (next_url(field, &at, &begin, &end)) {
        if (!change_url(&c, a, begin, end))
            continue;
        to = append(to, copied, (apr_size_t)(begin - copied));
        to = append(to, c.scheme, strlen(c.scheme));
        to = append(to, c.authority, strlen(c.authority));
        to = append(to, c.path, strlen(c.path));
        copied = c.tail;
    }
    append(to, copied, strlen(copied) + 1);
    return out;
}
