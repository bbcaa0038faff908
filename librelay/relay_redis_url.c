/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_redis_url.h"
#include "relay_libssl.h"
#include "relay_text.h"

#include <apr_lib.h>
#include <arpa/inet.h>
#include <string.h>

#define REDIS_PORT 6379
#define SENTINEL_PORT 26379
#define SENTINEL_NAME_MAX 64

static int read_int(const char *text, int max, int *out)
{
    long n = 0;
    const char *c;

    for (c = text; apr_isdigit(*c) && n <= max; c++)
        n = n * 10 + (*c - '0');
    if (c == text || *c || n > max)
        return 0;
    *out = (int)n;
    return 1;
}

/* `[[user]:password@]` is cut off the front of *rest. */
static const char *cut_login(relay_redis_url *u, char **rest)
{
    char *at = strrchr(*rest, '@'), *colon;

    if (!at)
        return NULL;
    *at = '\0';
    if ((colon = strchr(*rest, ':')) == NULL)
        return "write user:password@ or :password@ before the host";
    *colon = '\0';
    if (!relay_text_unescape(*rest) || !relay_text_unescape(colon + 1))
        return "the login has a bad % escape";
    u->user = **rest ? *rest : NULL;
    u->password = colon + 1;
    *rest = at + 1;
    return NULL;
}

static const char *parse_unix(relay_redis_url *u, const char *scheme, char *rest, apr_pool_t *p)
{
    const char *wrong = cut_login(u, &rest);
    char *query;

    if (wrong)
        return wrong;
    if ((query = strchr(rest, '?')) != NULL) {
        *query++ = '\0';
        if (strncmp(query, "db=", 3) || !read_int(query + 3, 65535, &u->db))
            return "after ? only db=NUMBER may stand";
    }
    if (*rest != '/')
        return "a Unix socket is written unix:///path/to/socket";
    u->unix_path = rest;
    u->shown = apr_pstrcat(p, scheme, "://", rest, NULL);
    return NULL;
}

/* HOST[:PORT] or [IPV6][:PORT], cut in place; *port stays as it is where none is given. */
static const char *cut_host(const char **host, int *port, char *rest)
{
    char *digits = NULL, *end;

    if (*rest == '[') {
        if ((end = strchr(rest, ']')) == NULL || (end[1] && end[1] != ':'))
            return "the IPv6 address in brackets is not closed";
        digits = end[1] ? end + 2 : NULL;
        *end = '\0';
        rest++;
    }
    else if ((digits = strchr(rest, ':')) != NULL) {
        *digits++ = '\0';
    }
    if (!*rest)
        return "the host is missing";
    *host = rest;
    if (digits && (!read_int(digits, 65535, port) || *port == 0))
        return "the port is not a number from 1 to 65535";
    return NULL;
}

static const char *parse_tcp(relay_redis_url *u, const char *scheme, char *rest, apr_pool_t *p)
{
    const char *wrong = cut_login(u, &rest);
    char *path;

    if (wrong)
        return wrong;
    if ((path = strchr(rest, '/')) != NULL) {
        *path++ = '\0';
        if (*path && !read_int(path, 65535, &u->db))
            return "after the port only /DATABASENUMBER may stand";
    }
    u->port = REDIS_PORT;
    if ((wrong = cut_host(&u->host, &u->port, rest)) != NULL)
        return wrong;
    u->shown = apr_psprintf(p, "%s://%s:%d", scheme, u->host, u->port);
    return NULL;
}

int relay_redis_is_address(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

/* Addresses with commas between them. */
static const char *cut_sentinels(relay_redis_url *u, char *rest)
{
    char *next;

    for (; rest; rest = next) {
        relay_redis_sentinel *s = &u->sentinels[u->nsentinels];
        const char *wrong;

        if ((next = strchr(rest, ',')) != NULL)
            *next++ = '\0';
        if (u->nsentinels++ == RELAY_SENTINELS_MAX)
            return "there are too many sentinels: nine at most";
        s->port = SENTINEL_PORT;
        if ((wrong = cut_host(&s->host, &s->port, rest)) != NULL)
            return wrong;
        if (!relay_redis_is_address(s->host))
            return "give each sentinel by its IP address: nobody can wait for a name server while "
                   "something fails";
    }
    return NULL;
}

static const char *parse_sentinel(relay_redis_url *u, const char *scheme, char *rest, apr_pool_t *p)
{
    const char *wrong = cut_login(u, &rest);
    char *name = wrong ? NULL : strchr(rest, '/'), *db;

    if (wrong)
        return wrong;
    if (!name || !name[1])
        return "after the sentinels /NAME has to stand, by which they know the primary";
    *name++ = '\0';
    if ((db = strchr(name, '/')) != NULL) {
        *db++ = '\0';
        if (!read_int(db, 65535, &u->db))
            return "after the primary's name only /DATABASENUMBER may stand";
    }
    if (strlen(name) > SENTINEL_NAME_MAX ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return "the primary's name has other characters than letters, digits, and . _ -";
    u->primary = name;
    u->shown = apr_psprintf(p, "%s://%s/%s", scheme, rest, name);
    return cut_sentinels(u, rest);
}

static const struct {
    const char *scheme;
    int tls;
    const char *(*parse)(relay_redis_url *u, const char *scheme, char *rest, apr_pool_t *p);
} schemes[] = {
    {"redis", 0, parse_tcp},          {"rediss", 1, parse_tcp}, {"sentinel", 0, parse_sentinel},
    {"sentinels", 1, parse_sentinel}, {"unix", 0, parse_unix},
};

static const char *parse(relay_redis_url *u, const char *text, apr_pool_t *p)
{
    const char *end = strstr(text, "://"), *wrong;
    unsigned i;

    for (i = 0; end && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].scheme);

        if (len != (size_t)(end - text) || strncmp(text, schemes[i].scheme, len))
            continue;
        u->tls = schemes[i].tls;
        wrong = u->tls ? relay_libssl_load(p) : NULL;
        if (wrong)
            return wrong;
        return schemes[i].parse(u, schemes[i].scheme, apr_pstrdup(p, end + 3), p);
    }
    return "write unix:///path/to/socket, redis://user:password@host:port/db or "
           "sentinel://address:port,address:port/name";
}

apr_status_t relay_redis_url_parse(relay_redis_url **out, const char *text, apr_pool_t *p,
                                   const char **why)
{
    relay_redis_url *u = apr_pcalloc(p, sizeof(*u));
    const char *wrong = parse(u, text, p);

    if (wrong) {
        RELAY_WHY(why, p, "%s", wrong);
        return RELAY_EINPUT;
    }
    *out = u;
    return APR_SUCCESS;
}

static const char *copy(const char *text, apr_pool_t *p)
{
    return text ? apr_pstrdup(p, text) : NULL;
}

relay_redis_url *relay_redis_url_copy(const relay_redis_url *url, apr_pool_t *p)
{
    relay_redis_url *c = apr_pmemdup(p, url, sizeof(*url));
    int i;

    c->unix_path = copy(url->unix_path, p);
    c->host = copy(url->host, p);
    c->user = copy(url->user, p);
    c->password = copy(url->password, p);
    c->ca = copy(url->ca, p);
    c->shown = copy(url->shown, p);
    c->primary = copy(url->primary, p);
    for (i = 0; i < c->nsentinels; i++)
        c->sentinels[i].host = copy(url->sentinels[i].host, p);
    return c;
}

relay_redis_url *relay_redis_url_at(const relay_redis_url *url, const char *host, int port,
                                    apr_pool_t *p)
{
    relay_redis_url *at = relay_redis_url_copy(url, p);

    at->primary = NULL;
    at->nsentinels = 0;
    at->host = apr_pstrdup(p, host);
    at->port = port;
    at->named = 1;
    at->shown = apr_psprintf(p, "%s://%s:%d", url->tls ? "rediss" : "redis", host, port);
    return at;
}
