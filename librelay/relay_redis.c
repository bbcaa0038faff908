/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"
#include "relay_redis.h"

#include <apr_lib.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_PORT 6379

/* Decodes %XX in place; returns 0 on a bad escape or an escaped NUL. */
static int unescape(char *s)
{
    char *w = s, hex[3] = {0};

    for (; *s; s++, w++) {
        *w = *s;
        if (*s != '%')
            continue;
        if (!apr_isxdigit(s[1]) || !apr_isxdigit(s[2]))
            return 0;
        hex[0] = s[1];
        hex[1] = s[2];
        if ((*w = (char)strtol(hex, NULL, 16)) == '\0')
            return 0;
        s += 2;
    }
    *w = '\0';
    return 1;
}

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
    if (!unescape(*rest) || !unescape(colon + 1))
        return "the login has a bad % escape";
    u->user = **rest ? *rest : NULL;
    u->password = colon + 1;
    *rest = at + 1;
    return NULL;
}

static const char *parse_unix(relay_redis_url *u, char *rest, apr_pool_t *p)
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
    u->shown = apr_pstrcat(p, "unix://", rest, NULL);
    return NULL;
}

static const char *parse_tcp(relay_redis_url *u, const char *scheme, char *rest, apr_pool_t *p)
{
    const char *wrong = cut_login(u, &rest);
    char *path, *port = NULL, *end;

    if (wrong)
        return wrong;
    if ((path = strchr(rest, '/')) != NULL) {
        *path++ = '\0';
        if (*path && !read_int(path, 65535, &u->db))
            return "after the port only /DATABASENUMBER may stand";
    }
    if (*rest == '[') {
        if ((end = strchr(rest, ']')) == NULL || (end[1] && end[1] != ':'))
            return "the IPv6 address in brackets is not closed";
        port = end[1] ? end + 2 : NULL;
        *end = '\0';
        rest++;
    }
    else if ((port = strchr(rest, ':')) != NULL) {
        *port++ = '\0';
    }
    if (!*rest)
        return "the host is missing";
    u->host = rest;
    u->port = REDIS_PORT;
    if (port && (!read_int(port, 65535, &u->port) || u->port == 0))
        return "the port is not a number from 1 to 65535";
    u->shown = apr_psprintf(p, "%s://%s:%d", scheme, u->host, u->port);
    return NULL;
}

apr_status_t relay_redis_url_parse(relay_redis_url **out, const char *text, apr_pool_t *p,
                                   const char **why)
{
    relay_redis_url *u = apr_pcalloc(p, sizeof(*u));
    const char *wrong;

    if (strncmp(text, "unix://", 7) == 0) {
        wrong = parse_unix(u, apr_pstrdup(p, text + 7), p);
    }
    else if (strncmp(text, "redis://", 8) == 0) {
        wrong = parse_tcp(u, "redis", apr_pstrdup(p, text + 8), p);
    }
    else if (strncmp(text, "rediss://", 9) == 0) {
#ifdef HAVE_HIREDIS_SSL
        u->tls = 1;
        wrong = parse_tcp(u, "rediss", apr_pstrdup(p, text + 9), p);
#else
        wrong = "rediss:// needs hiredis 1.0 or later with TLS; this build has none. Use a Unix "
                "socket, or a TLS tunnel";
#endif
    }
    else {
        wrong = "write unix:///path/to/socket or redis://user:password@host:port/db";
    }
    if (wrong) {
        RELAY_WHY(why, p, "%s", wrong);
        return RELAY_EINPUT;
    }
    *out = u;
    return APR_SUCCESS;
}

typedef struct redis_error {
    const char *code, *meaning;
} redis_error;

static const redis_error *meaning_of(const char *error)
{
    static const redis_error known[] = {
        {"READONLY", "it is a read-only replica: give [redis] url of the primary"},
        {"OOM", "it is out of memory (maxmemory): nothing was changed; raise maxmemory or remove "
                "what fills it"},
        {"WRONGPASS",
         "user or password is wrong, in [redis] url or in the file of [redis] passwords"},
        {"NOAUTH", "it wants a password: give one by [redis] passwords, or in [redis] url"},
        {"NOPERM", "this user lacks a right (ACL)"},
        {"LOADING", "it is still loading its data: try again in a moment"},
        {"MASTERDOWN", "it is a replica that has lost its primary"},
        {"MISCONF", "it cannot save to disk and refuses writes: see Redis's log"},
        {"BUSY", "it is busy with a long script"},
        {"NOSCRIPT", "it does not know a script"},
        {"ERR AUTH", "relay.conf has a password for it, but Redis has none configured"},
        {"ERR invalid password",
         "the password, in [redis] url or in the file of [redis] passwords, is wrong"},
    };
    unsigned i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strncmp(error, known[i].code, strlen(known[i].code)) == 0)
            return &known[i];
    return NULL;
}

const char *relay_redis_explain(const relay_redis_url *url, const char *error, apr_pool_t *p)
{
    const redis_error *known = meaning_of(error);

    if (known)
        return apr_psprintf(p, "Redis at %s refuses: %s (%s)", url->shown, known->meaning,
                            known->code);
    /* A server that repeats the password, for any command, must not bring it into a log. */
    if (url->password && *url->password && strstr(error, url->password))
        return apr_psprintf(p, "Redis at %s refuses, in words that hold the password", url->shown);
    return apr_psprintf(p, "Redis at %s refuses: %.200s", url->shown, error);
}

/* A server that does not know AUTH (rename-command) repeats what it was sent: `unknown command
 * 'AUTH', with args beginning with: 'PASSWORD'`. Only the code of an unknown answer is shown. */
const char *relay_redis_explain_login(const relay_redis_url *url, const char *error, apr_pool_t *p)
{
    if (meaning_of(error))
        return relay_redis_explain(url, error, p);
    return apr_psprintf(p, "Redis at %s refuses the login that relay.conf has (%.*s)", url->shown,
                        (int)strspn(error, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), error);
}

/* One step of the login; 1 when Redis said yes. */
static int login_step(redisContext *c, const relay_redis_url *url, int argc, const char **argv,
                      apr_pool_t *p, const char **why)
{
    redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
    int done = reply && reply->type != REDIS_REPLY_ERROR;

    if (!reply)
        RELAY_WHY(why, p, "Redis at %s did not answer: %s", url->shown, c->errstr);
    else if (!done)
        RELAY_WHY(why, p, "%s",
                  strcmp(argv[0], "AUTH") ? relay_redis_explain(url, reply->str, p)
                                          : relay_redis_explain_login(url, reply->str, p));
    if (reply)
        freeReplyObject(reply);
    return done;
}

static int login(redisContext *c, const relay_redis_url *url, apr_pool_t *p, const char **why)
{
    const char *argv[3] = {"AUTH"};
    int argc = 1;

    if (url->password) {
        if (url->user)
            argv[argc++] = url->user;
        argv[argc++] = url->password;
        if (!login_step(c, url, argc, argv, p, why))
            return 0;
    }
    if (url->db) {
        argv[0] = "SELECT";
        argv[1] = apr_itoa(p, url->db);
        return login_step(c, url, 2, argv, p, why);
    }
    return 1;
}

apr_status_t relay_redis_connect(redisContext **out, const relay_redis_url *url,
                                 apr_interval_time_t timeout, apr_pool_t *p, const char **why)
{
    struct timeval tv = {(time_t)apr_time_sec(timeout), (suseconds_t)apr_time_usec(timeout)};
    redisContext *c;

    c = url->unix_path ? redisConnectUnixWithTimeout(url->unix_path, tv)
                       : redisConnectWithTimeout(url->host, url->port, tv);
    if (!c || c->err) {
        RELAY_WHY(why, p, "cannot connect to Redis at %s: %s", url->shown,
                  c ? c->errstr : "out of memory");
        goto fail;
    }
    redisSetTimeout(c, tv);
    if (url->tls && relay_redis_tls(c, url) != APR_SUCCESS) {
        RELAY_WHY(why, p, "TLS with Redis at %s failed: %s", url->shown, c->errstr);
        goto fail;
    }
    if (!login(c, url, p, why)) /* NOLINT(concurrency-mt-unsafe): not the login() of <utmp.h> */
        goto fail;
    *out = c;
    return APR_SUCCESS;
fail:
    if (c)
        redisFree(c);
    return RELAY_EUNREACHABLE;
}
