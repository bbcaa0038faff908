/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_store.h"
#include "relay_record.h"
#include "relay_scripts.h"

#include <errno.h>
#include <string.h>

struct relay_store {
    const relay_config *cfg;
    apr_pool_t *p;     /* the store's own; errors go to the callers' pools */
    redisContext *ctx; /* NULL until it is needed, and after it broke */
};

static const struct {
    const char *name, *text;
    const char *unanswered; /* what is known when no answer came */
} scripts[] = {
    [RELAY_SCRIPT_OPEN] = {"open", relay_script_open,
                           "if `open' has not been carried out by now it will not be"},
    [RELAY_SCRIPT_EXTEND] = {"extend", relay_script_extend,
                             "if `extend' has not been carried out by now it will not be"},
    [RELAY_SCRIPT_CLOSE] = {"close", relay_script_close,
                            "whether `close' was carried out is not known"},
    [RELAY_SCRIPT_PAGE] = {"page", relay_script_page, "nothing was to be changed"},
    [RELAY_SCRIPT_ADMIT] = {"admit", relay_script_admit, "nothing was to be changed"},
    [RELAY_SCRIPT_TOKEN_NEW] = {"token_new", relay_script_token_new,
                                "if `token_new' has not been carried out by now it will not be"},
    [RELAY_SCRIPT_TOKEN_REVOKE] = {"token_revoke", relay_script_token_revoke,
                                   "whether `token_revoke' was carried out is not known"},
};

static void disconnect(relay_store *s)
{
    if (s->ctx)
        redisFree(s->ctx);
    s->ctx = NULL;
}

static apr_status_t on_destroy(void *data)
{
    disconnect(data);
    return APR_SUCCESS;
}

void relay_store_create(relay_store **out, const relay_config *cfg, apr_pool_t *p)
{
    relay_store *s = apr_pcalloc(p, sizeof(*s));

    s->cfg = cfg;
    s->p = p;
    apr_pool_cleanup_register(p, s, on_destroy, apr_pool_cleanup_null);
    *out = s;
}

const char *relay_store_key(const relay_store *s, apr_pool_t *p, relay_keyname_kind kind,
                            const char *id)
{
    return relay_keyname(s->cfg, kind, id, p);
}

static apr_status_t connected(relay_store *s, apr_pool_t *p, const char **why)
{
    return s->ctx ? APR_SUCCESS
                  : relay_redis_connect(&s->ctx, s->cfg->redis, s->cfg->redis_timeout, p, why);
}

/* Says why the connection broke, and closes it. */
static void broken(relay_store *s, apr_pool_t *p, const char **why)
{
    int timed_out = s->ctx->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);

    RELAY_WHY(why, p, "Redis at %s %s%s", s->cfg->redis->shown,
              timed_out ? "did not answer in time ([redis] timeout)" : "broke the connection: ",
              timed_out ? "" : s->ctx->errstr);
    disconnect(s);
}

void relay_store_free(redisReply **replies, int n)
{
    while (n--)
        if (replies[n])
            freeReplyObject(replies[n]);
}

/* One round trip with n commands. Error replies are passed on. */
static apr_status_t round_trip(relay_store *s, const relay_store_cmd *cmds, int n,
                               redisReply **replies)
{
    int i;

    errno = 0;
    for (i = 0; i < n; i++) {
        replies[i] = NULL;
        if (redisAppendCommandArgv(s->ctx, cmds[i].argc, cmds[i].argv, cmds[i].argvlen) != REDIS_OK)
            return APR_ENOMEM;
    }
    for (i = 0; i < n; i++) {
        if (redisGetReply(s->ctx, (void **)&replies[i]) != REDIS_OK || !replies[i]) {
            relay_store_free(replies, i);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

/* A time-out is not tried again: it has cost its deadline already. */
apr_status_t relay_store_read(relay_store *s, const relay_store_cmd *cmds, int n,
                              redisReply **replies, apr_pool_t *p, const char **why)
{
    int was_idle = s->ctx != NULL;
    apr_status_t rv = connected(s, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (round_trip(s, cmds, n, replies) == APR_SUCCESS)
        return APR_SUCCESS;
    if (was_idle && (s->ctx->err != REDIS_ERR_IO || (errno != EAGAIN && errno != EWOULDBLOCK))) {
        disconnect(s);
        if ((rv = connected(s, p, why)) != APR_SUCCESS)
            return rv;
        if (round_trip(s, cmds, n, replies) == APR_SUCCESS)
            return APR_SUCCESS;
    }
    broken(s, p, why);
    return RELAY_EUNREACHABLE;
}

apr_status_t relay_store_check(relay_store *s, const redisReply *reply, const char *key,
                               apr_pool_t *p, const char **why)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return APR_SUCCESS;
    if (key && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        RELAY_WHY(why, p, "record %s is not a hash", key);
        return RELAY_ERECORD;
    }
    RELAY_WHY(why, p, "%s", relay_redis_explain(s->cfg->redis, reply->str, p));
    /* A server that refuses now may have been reconfigured by the next call: do not
     * hold on to it. */
    disconnect(s);
    return RELAY_EUNREACHABLE;
}

apr_status_t relay_store_command(relay_store *s, redisReply **reply, int argc, const char **argv,
                                 const size_t *argvlen, apr_pool_t *p, const char **why)
{
    relay_store_cmd cmd = {argc, argv, argvlen};
    redisReply *got;
    apr_status_t rv = connected(s, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (round_trip(s, &cmd, 1, &got) != APR_SUCCESS) {
        broken(s, p, why);
        return RELAY_EUNREACHABLE;
    }
    if ((rv = relay_store_check(s, got, NULL, p, why)) != APR_SUCCESS) {
        freeReplyObject(got);
        return rv;
    }
    *reply = got;
    return APR_SUCCESS;
}

apr_status_t relay_store_script(relay_store *s, redisReply **reply, relay_script_id id, int nargs,
                                const char **args, apr_pool_t *p, const char **why)
{
    const char **argv = apr_palloc(p, (apr_size_t)(nargs + 4) * sizeof(*argv));
    relay_store_cmd cmd = {nargs + 4, argv, NULL};
    redisReply *got;
    apr_status_t rv = connected(s, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    /* EVAL, not EVALSHA: these are rare, a few kB on a local socket, and there is no second round
     * to get wrong. */
    argv[0] = "EVAL";
    argv[1] = scripts[id].text;
    argv[2] = "1";
    argv[3] = s->cfg->prefix;
    memcpy(argv + 4, args, (apr_size_t)nargs * sizeof(*argv));
    if (round_trip(s, &cmd, 1, &got) != APR_SUCCESS) {
        broken(s, p, why);
        if (why)
            *why = apr_pstrcat(p, *why, "; ", scripts[id].unanswered, NULL);
        return RELAY_EUNREACHABLE;
    }
    if ((rv = relay_store_check(s, got, NULL, p, why)) == APR_SUCCESS &&
        (got->type != REDIS_REPLY_ARRAY || !got->elements))
        rv = relay_script_unknown(id, p, why);
    if (rv == APR_SUCCESS && strcmp(relay_script_word(got, 0), "late") == 0) {
        RELAY_WHY(why, p, "Redis at %s took too long ([redis] timeout), and did not `%s'",
                  s->cfg->redis->shown, scripts[id].name);
        rv = RELAY_EUNREACHABLE;
    }
    if (rv != APR_SUCCESS) {
        freeReplyObject(got);
        return rv;
    }
    *reply = got;
    return APR_SUCCESS;
}

const char *relay_script_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? reply->str : "";
}

const char *relay_script_word(const redisReply *reply, apr_size_t i)
{
    return i < reply->elements ? relay_script_text(reply->element[i]) : "";
}

apr_status_t relay_script_unknown(relay_script_id id, apr_pool_t *p, const char **why)
{
    RELAY_WHY(why, p, "script `%s' gave an answer of an unknown form", scripts[id].name);
    return RELAY_ERECORD;
}

/* The last quarter of the time that the caller waits is for the answer's way back. */
apr_status_t relay_store_deadline(apr_time_t *latest, relay_store *s, apr_pool_t *p,
                                  const char **why)
{
    apr_time_t now;
    apr_status_t rv = relay_store_now(&now, s, p, why);

    if (rv == APR_SUCCESS)
        *latest = now + s->cfg->redis_timeout / 4 * 3;
    return rv;
}

apr_status_t relay_store_now(apr_time_t *now, relay_store *s, apr_pool_t *p, const char **why)
{
    apr_int64_t sec, usec;
    const char *argv[] = {"TIME"};
    relay_store_cmd cmd = {1, argv, NULL};
    redisReply *reply;
    apr_status_t rv = relay_store_read(s, &cmd, 1, &reply, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, reply, NULL, p, why)) == APR_SUCCESS) {
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
            relay_number_parse(&sec, reply->element[0]->str, 12) &&
            relay_number_parse(&usec, reply->element[1]->str, 6)) {
            *now = apr_time_make(sec, usec);
        }
        else {
            RELAY_WHY(why, p, "Redis at %s does not know the time", s->cfg->redis->shown);
            rv = RELAY_EUNREACHABLE;
        }
    }
    freeReplyObject(reply);
    return rv;
}
