/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_redis.h"
#include "relay_redis_tls.h"
#include "relay_sentinel.h"

#include <string.h>

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
        {"NOREPLICAS", "too few replicas are in sync with it (min-replicas-to-write): nothing was "
                       "changed; try again in a moment"},
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

relay_redis_role relay_redis_role_read(const redisReply *r)
{
    const redisReply *word, *link;

    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements < 3)
        return RELAY_ROLE_NONE;
    word = r->element[0];
    if (word->type != REDIS_REPLY_STRING)
        return RELAY_ROLE_NONE;
    if (strcmp(word->str, "master") == 0)
        return RELAY_ROLE_PRIMARY;
    if (strcmp(word->str, "slave") || r->elements < 5)
        return RELAY_ROLE_NONE;
    link = r->element[3];
    return link->type == REDIS_REPLY_STRING && strcmp(link->str, "connected") == 0
               ? RELAY_ROLE_REPLICA
               : RELAY_ROLE_BEHIND;
}

/* Sentinel may not know yet that this one is the primary no more, or not yet. */
static int is_primary(redisContext *c, const relay_redis_url *url, apr_pool_t *p, const char **why)
{
    redisReply *reply = redisCommand(c, "ROLE");
    int is = relay_redis_role_read(reply) == RELAY_ROLE_PRIMARY;

    if (!reply)
        RELAY_WHY(why, p, "Redis at %s did not answer: %s", url->shown, c->errstr);
    else if (reply->type == REDIS_REPLY_ERROR)
        RELAY_WHY(why, p, "%s", relay_redis_explain(url, reply->str, p));
    else if (!is)
        RELAY_WHY(why, p,
                  "Redis at %s is not the primary, though Sentinel says so: try again in a moment",
                  url->shown);
    if (reply)
        freeReplyObject(reply);
    return is;
}

static apr_status_t connect_to(redisContext **out, const relay_redis_url *url,
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
    if (url->named && !is_primary(c, url, p, why))
        goto fail;
    *out = c;
    return APR_SUCCESS;
fail:
    if (c)
        redisFree(c);
    return RELAY_EUNREACHABLE;
}

apr_status_t relay_redis_find(const relay_redis_url **at, const relay_redis_url *url,
                              apr_interval_time_t timeout, apr_pool_t *p, const char **why)
{
    if (url->primary)
        return relay_sentinel_ask(at, url, RELAY_SENTINEL_ANY, timeout, p, why);
    *at = url;
    return APR_SUCCESS;
}

apr_status_t relay_redis_connect(redisContext **out, const relay_redis_url *url,
                                 apr_interval_time_t timeout, apr_pool_t *p, const char **why)
{
    const relay_redis_url *at;
    apr_status_t rv = relay_redis_find(&at, url, timeout, p, why);

    return rv == APR_SUCCESS ? connect_to(out, at, timeout, p, why) : rv;
}
