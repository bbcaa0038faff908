/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_store.h"
#include "relay_record.h"
#include "relay_scripts.h"
#include "relay_sentinel.h"

#include <errno.h>
#include <string.h>

typedef struct server_link {
    const relay_redis_url *url, *at; /* what relay.conf says, and where ctx leads */
    apr_interval_time_t timeout;
    redisContext *ctx;   /* NULL until it is needed, and after it broke */
    apr_pool_t *at_pool; /* of at; cleared for each connection */
} server_link;

struct relay_store {
    const relay_config *cfg;
    apr_pool_t *p; /* the store's own; errors go to the callers' pools */
    server_link primary;
    server_link near; /* url NULL: the primary is read */
};

/* What a script does, which says what is known when no answer came. */
typedef enum {
    READS,
    CHANGES,
    CHANGES_SOON /* or never: it is told until when it may begin */
} script_effect;

static const struct {
    const char *name, *text;
    script_effect effect;
} scripts[] = {
    [RELAY_SCRIPT_OPEN] = {"open", relay_script_open, CHANGES_SOON},
    [RELAY_SCRIPT_EXTEND] = {"extend", relay_script_extend, CHANGES_SOON},
    [RELAY_SCRIPT_CLOSE] = {"close", relay_script_close, CHANGES},
    [RELAY_SCRIPT_PAGE] = {"page", relay_script_page, READS},
    [RELAY_SCRIPT_ADMIT] = {"admit", relay_script_admit, READS}, /* a request is only counted */
    [RELAY_SCRIPT_TOKEN_NEW] = {"token_new", relay_script_token_new, CHANGES_SOON},
    [RELAY_SCRIPT_TOKEN_REVOKE] = {"token_revoke", relay_script_token_revoke, CHANGES},
    [RELAY_SCRIPT_EVENTS] = {"events", relay_script_events, READS},
    [RELAY_SCRIPT_CODE_NEW] = {"code_new", relay_script_code_new, CHANGES_SOON},
    [RELAY_SCRIPT_CODE_REVOKE] = {"code_revoke", relay_script_code_revoke, CHANGES},
    [RELAY_SCRIPT_ENROL] = {"enrol", relay_script_enrol, CHANGES_SOON},
    [RELAY_SCRIPT_DEVICE_CHANGE] = {"device_change", relay_script_device_change, CHANGES},
    [RELAY_SCRIPT_DEVICE_REMOVE] = {"device_remove", relay_script_device_remove, CHANGES},
    [RELAY_SCRIPT_RELAYS] = {"relays", relay_script_relays, READS},
    [RELAY_SCRIPT_DRAIN] = {"drain", relay_script_drain, CHANGES},
};

static void disconnect(server_link *l)
{
    if (l->ctx)
        redisFree(l->ctx);
    l->ctx = NULL;
}

static apr_status_t on_destroy(void *data)
{
    relay_store *s = data;

    disconnect(&s->primary);
    disconnect(&s->near);
    return APR_SUCCESS;
}

static void set_link(server_link *l, const relay_redis_url *url, apr_interval_time_t timeout)
{
    disconnect(l);
    l->url = l->at = url;
    l->timeout = timeout;
}

void relay_store_create(relay_store **out, const relay_config *cfg, apr_pool_t *p)
{
    relay_store *s = apr_pcalloc(p, sizeof(*s));

    s->cfg = cfg;
    s->p = p;
    set_link(&s->primary, cfg->redis, cfg->redis_timeout);
    apr_pool_create(&s->primary.at_pool, p);
    apr_pool_cleanup_register(p, s, on_destroy, apr_pool_cleanup_null);
    *out = s;
}

/* A replica is waited for half the time: there is the primary besides. */
void relay_store_read_from(relay_store *s, const relay_redis_url *url)
{
    set_link(&s->near, url, url && url->named ? s->cfg->redis_timeout : s->cfg->redis_timeout / 2);
    if (!s->near.at_pool)
        apr_pool_create(&s->near.at_pool, s->p);
}

apr_interval_time_t relay_store_timeout(const relay_store *s)
{
    return s->cfg->redis_timeout;
}

const char *relay_store_key(const relay_store *s, apr_pool_t *p, relay_keyname_kind kind,
                            const char *id)
{
    return relay_keyname(s->cfg, kind, id, p);
}

/* Each connection asks anew where the primary is. */
static apr_status_t connected(server_link *l, apr_pool_t *p, const char **why)
{
    const char *reason = "";
    apr_status_t rv;

    if (l->ctx)
        return APR_SUCCESS;
    l->at = l->url;
    apr_pool_clear(l->at_pool);
    rv = relay_redis_find(&l->at, l->url, l->timeout, l->at_pool, &reason);
    if (rv == APR_SUCCESS)
        return relay_redis_connect(&l->ctx, l->at, l->timeout, p, why);
    RELAY_WHY(why, p, "%s", reason);
    return rv;
}

/* Says why the connection broke, and closes it. */
static void broken(server_link *l, apr_pool_t *p, const char **why)
{
    int timed_out = l->ctx->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);

    RELAY_WHY(why, p, "Redis at %s %s%s", l->at->shown,
              timed_out ? "did not answer in time ([redis] timeout)" : "broke the connection: ",
              timed_out ? "" : l->ctx->errstr);
    disconnect(l);
}

void relay_store_free(redisReply **replies, int n)
{
    while (n--)
        if (replies[n])
            freeReplyObject(replies[n]);
}

/* One round trip with n commands. Error replies are passed on. */
static apr_status_t round_trip(server_link *l, const relay_store_cmd *cmds, int n,
                               redisReply **replies)
{
    int i;

    errno = 0;
    for (i = 0; i < n; i++) {
        replies[i] = NULL;
        if (redisAppendCommandArgv(l->ctx, cmds[i].argc, cmds[i].argv, cmds[i].argvlen) != REDIS_OK)
            return APR_ENOMEM;
    }
    for (i = 0; i < n; i++) {
        if (redisGetReply(l->ctx, (void **)&replies[i]) != REDIS_OK || !replies[i]) {
            relay_store_free(replies, i);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

/* A time-out is not tried again: it has cost its deadline already. */
static apr_status_t read_at(server_link *l, const relay_store_cmd *cmds, int n,
                            redisReply **replies, apr_pool_t *p, const char **why)
{
    int was_idle = l->ctx != NULL;
    apr_status_t rv = connected(l, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (round_trip(l, cmds, n, replies) == APR_SUCCESS)
        return APR_SUCCESS;
    if (was_idle && (l->ctx->err != REDIS_ERR_IO || (errno != EAGAIN && errno != EWOULDBLOCK))) {
        disconnect(l);
        if ((rv = connected(l, p, why)) != APR_SUCCESS)
            return rv;
        if (round_trip(l, cmds, n, replies) == APR_SUCCESS)
            return APR_SUCCESS;
    }
    broken(l, p, why);
    return RELAY_EUNREACHABLE;
}

static int has_error(redisReply *const *replies, int n)
{
    while (n--)
        if (replies[n]->type == REDIS_REPLY_ERROR)
            return 1;
    return 0;
}

static int is_absent(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 0;
}

/*
 * A replica says that a record is absent when it has not got it yet, and before its first sync that
 * all are. So it is asked again behind ROLE, and believed if its link is up. The order counts:
 * asked before, it may have come up in between.
 */
static apr_status_t read_in_sync(server_link *l, const relay_store_cmd *cmds, int n,
                                 redisReply **replies, apr_pool_t *p)
{
    const char *role[] = {"ROLE"};
    relay_store_cmd *all = apr_palloc(p, (apr_size_t)(n + 1) * sizeof(*all));
    redisReply **got = apr_pcalloc(p, (apr_size_t)(n + 1) * sizeof(redisReply *));
    relay_redis_role is;

    all[0] = (relay_store_cmd){1, role, NULL};
    memcpy(all + 1, cmds, (apr_size_t)n * sizeof(*all));
    if (read_at(l, all, n + 1, got, p, NULL) != APR_SUCCESS)
        return RELAY_EUNREACHABLE;
    is = relay_redis_role_read(got[0]);
    if ((is != RELAY_ROLE_PRIMARY && is != RELAY_ROLE_REPLICA) || has_error(got, n + 1)) {
        relay_store_free(got, n + 1);
        return RELAY_EUNREACHABLE;
    }
    freeReplyObject(got[0]);
    memcpy(replies, got + 1, (apr_size_t)n * sizeof(redisReply *));
    return APR_SUCCESS;
}

static apr_status_t read_near(server_link *l, const relay_store_cmd *cmds, int n,
                              redisReply **replies, apr_pool_t *p)
{
    if (read_at(l, cmds, n, replies, p, NULL) != APR_SUCCESS)
        return RELAY_EUNREACHABLE;
    if (has_error(replies, n)) {
        relay_store_free(replies, n);
        disconnect(l);
        return RELAY_EUNREACHABLE;
    }
    if (l->url->named || !is_absent(replies[0]))
        return APR_SUCCESS;
    relay_store_free(replies, n);
    return read_in_sync(l, cmds, n, replies, p);
}

apr_status_t relay_store_read(relay_store *s, const relay_store_cmd *cmds, int n,
                              redisReply **replies, apr_pool_t *p, const char **why)
{
    if (s->near.url && read_near(&s->near, cmds, n, replies, p) == APR_SUCCESS)
        return APR_SUCCESS;
    return read_at(&s->primary, cmds, n, replies, p, why);
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
    RELAY_WHY(why, p, "%s", relay_redis_explain(s->primary.at, reply->str, p));
    /* A server that refuses now may have been reconfigured by the next call: do not
     * hold on to it. */
    disconnect(&s->primary);
    return RELAY_EUNREACHABLE;
}

apr_status_t relay_store_command(relay_store *s, redisReply **reply, int argc, const char **argv,
                                 const size_t *argvlen, apr_pool_t *p, const char **why)
{
    relay_store_cmd cmd = {argc, argv, argvlen};
    redisReply *got;
    apr_status_t rv = connected(&s->primary, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if (round_trip(&s->primary, &cmd, 1, &got) != APR_SUCCESS) {
        broken(&s->primary, p, why);
        return RELAY_EUNREACHABLE;
    }
    if ((rv = relay_store_check(s, got, NULL, p, why)) != APR_SUCCESS) {
        freeReplyObject(got);
        return rv;
    }
    *reply = got;
    return APR_SUCCESS;
}

/* ---- confirmation: where Sentinel may make another server the primary
 *
 * A primary that is cut off from the others does not know it, and goes on answering. So what was
 * written there counts only once a replica has it, and if most sentinels name that server even
 * after that. Both are needed: the replica may be cut off together with the primary, or be one that
 * Sentinel does not know. */

/* @return why not; NULL: a replica has all that this connection has written */
static const char *not_replicated(relay_store *s, apr_pool_t *p)
{
    const char *argv[] = {"WAIT", "1",
                          apr_psprintf(p, "%" APR_TIME_T_FMT,
                                       apr_time_as_msec(s->cfg->redis_timeout / 4 * 3))};
    relay_store_cmd cmd = {3, argv, NULL};
    const char *reason = NULL;
    redisReply *reply;

    if (round_trip(&s->primary, &cmd, 1, &reply) != APR_SUCCESS) {
        broken(&s->primary, p, &reason);
        return reason;
    }
    if (reply->type == REDIS_REPLY_ERROR)
        reason = relay_redis_explain(s->primary.at, reply->str, p);
    else if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 1)
        reason = "no replica has it";
    freeReplyObject(reply);
    return reason;
}

/* @return why not; NULL: most sentinels name the server that was written to */
static const char *not_primary(const relay_store *s, apr_pool_t *p)
{
    const relay_redis_url *named;
    const char *reason = NULL;

    if (relay_sentinel_ask(&named, s->cfg->redis, RELAY_SENTINEL_MAJORITY, s->cfg->redis_timeout, p,
                           &reason) != APR_SUCCESS)
        return reason;
    if (named->port != s->primary.at->port || strcmp(named->host, s->primary.at->host))
        return apr_psprintf(p, "the sentinels say that %s is the primary now", named->shown);
    return NULL;
}

static apr_status_t confirm(relay_store *s, relay_script_id id, apr_pool_t *p, const char **why)
{
    const char *reason, *where = s->primary.at->shown;

    if (!s->primary.at->named)
        return APR_SUCCESS;
    if ((reason = not_replicated(s, p)) == NULL && (reason = not_primary(s, p)) == NULL)
        return APR_SUCCESS;
    disconnect(&s->primary);
    RELAY_WHY(why, p,
              "not confirmed: Redis at %s has done `%s', but a failover may undo that: %s. It is "
              "safe to say it again",
              where, scripts[id].name, reason);
    return RELAY_EUNCONFIRMED;
}

/* Whether the script has written what its caller wants to last. Who closes a tunnel that is closed
 * may be asking whether that is confirmed, and so may who asks for something again. */
static int has_written(relay_script_id id, const redisReply *reply)
{
    const char *what = relay_script_word(reply, 0);

    if (scripts[id].effect == READS)
        return 0;
    return strcmp(what, "ok") == 0 || strcmp(what, "again") == 0 ||
           (id == RELAY_SCRIPT_CLOSE && strcmp(relay_script_word(reply, 1), "closed") == 0);
}

/* What is known of a script when no answer came. */
static const char *unanswered(relay_script_id id, apr_pool_t *p)
{
    switch (scripts[id].effect) {
    case READS:
        return "nothing was to be changed";
    case CHANGES:
        return apr_psprintf(p, "whether `%s' was carried out is not known", scripts[id].name);
    default:
        return apr_psprintf(p, "if `%s' has not been carried out by now it will not be",
                            scripts[id].name);
    }
}

apr_status_t relay_store_script(relay_store *s, redisReply **reply, relay_script_id id, int nargs,
                                const char **args, apr_pool_t *p, const char **why)
{
    const char **argv = apr_palloc(p, (apr_size_t)(nargs + 4) * sizeof(*argv));
    relay_store_cmd cmd = {nargs + 4, argv, NULL};
    redisReply *got;
    apr_status_t rv = connected(&s->primary, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    /* EVAL, not EVALSHA: these are rare, a few kB on a local socket, and there is no second round
     * to get wrong. */
    argv[0] = "EVAL";
    argv[1] = scripts[id].text;
    argv[2] = "1";
    argv[3] = s->cfg->prefix;
    memcpy(argv + 4, args, (apr_size_t)nargs * sizeof(*argv));
    if (round_trip(&s->primary, &cmd, 1, &got) != APR_SUCCESS) {
        broken(&s->primary, p, why);
        if (why)
            *why = apr_pstrcat(p, *why, "; ", unanswered(id, p), NULL);
        return RELAY_EUNREACHABLE;
    }
    if ((rv = relay_store_check(s, got, NULL, p, why)) == APR_SUCCESS &&
        (got->type != REDIS_REPLY_ARRAY || !got->elements))
        rv = relay_script_unknown(id, p, why);
    if (rv == APR_SUCCESS && strcmp(relay_script_word(got, 0), "late") == 0) {
        RELAY_WHY(why, p, "Redis at %s took too long ([redis] timeout), and did not `%s'",
                  s->primary.at->shown, scripts[id].name);
        rv = RELAY_EUNREACHABLE;
    }
    if (rv == APR_SUCCESS && has_written(id, got))
        rv = confirm(s, id, p, why);
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
            RELAY_WHY(why, p, "Redis at %s does not know the time", s->primary.at->shown);
            rv = RELAY_EUNREACHABLE;
        }
    }
    freeReplyObject(reply);
    return rv;
}
