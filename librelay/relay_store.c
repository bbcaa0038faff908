/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_store.h"
#include "relay_duration.h"
#include "relay_name.h"
#include "relay_scripts.h"
#include "relay_service.h"

#include <apr_lib.h>
#include <errno.h>
#include <stdlib.h>
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

const char *relay_store_key(const relay_store *s, apr_pool_t *p, const char *kind, const char *id)
{
    return apr_pstrcat(p, s->cfg->prefix, kind, id, NULL);
}

static apr_status_t connected(relay_store *s, apr_pool_t *p, const char **why)
{
    return s->ctx ? APR_SUCCESS
                  : relay_redis_connect(&s->ctx, s->cfg->redis, s->cfg->redis_timeout, p, why);
}

/* What the dead connection died of; closes it. */
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
        (got->type != REDIS_REPLY_ARRAY || !got->elements)) {
        RELAY_WHY(why, p, "script `%s' gave an answer of an unknown form", scripts[id].name);
        rv = RELAY_ERECORD;
    }
    if (rv == APR_SUCCESS && got->element[0]->type == REDIS_REPLY_STRING &&
        strcmp(got->element[0]->str, "late") == 0) {
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

/* The last quarter of the time that the caller waits is for the answer's way back. */
apr_status_t relay_store_deadline(const char **latest, relay_store *s, apr_pool_t *p,
                                  const char **why)
{
    apr_time_t now;
    apr_status_t rv = relay_store_now(&now, s, p, why);

    if (rv == APR_SUCCESS)
        *latest = apr_psprintf(p, "%" APR_INT64_T_FMT,
                               apr_time_as_msec(now + s->cfg->redis_timeout / 4 * 3));
    return rv;
}

/* Digits only, and so few that what is reckoned with them does not overflow. */
static int read_number(apr_int64_t *out, const char *text, apr_size_t digits)
{
    char *end;
    apr_int64_t n;

    if (!text || !apr_isdigit(*text) || strlen(text) > digits)
        return 0;
    n = apr_strtoi64(text, &end, 10);
    if (*end)
        return 0;
    *out = n;
    return 1;
}

int relay_time_parse(apr_time_t *out, const char *ms)
{
    apr_int64_t n;

    if (!read_number(&n, ms, 15))
        return 0;
    *out = n * 1000;
    return 1;
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
            read_number(&sec, reply->element[0]->str, 12) &&
            read_number(&usec, reply->element[1]->str, 6)) {
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

const char *relay_reply_field(const redisReply *hash, const char *field)
{
    size_t i;

    if (hash->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (i = 0; i + 1 < hash->elements; i += 2) {
        const redisReply *k = hash->element[i], *v = hash->element[i + 1];

        if (k->type == REDIS_REPLY_STRING && v->type == REDIS_REPLY_STRING &&
            strcmp(k->str, field) == 0)
            return strlen(v->str) == (size_t)v->len ? v->str : NULL;
    }
    return NULL;
}

apr_status_t relay_reply_version(const redisReply *hash, const char *key, apr_pool_t *p,
                                 const char **why)
{
    const char *v = relay_reply_field(hash, "v");
    char *end;
    long n = v && apr_isdigit(*v) ? strtol(v, &end, 10) : 0;

    if (n < 1 || *end) {
        RELAY_WHY(why, p, "record %s has no valid version (field v)", key);
        return RELAY_ERECORD;
    }
    if (n > RELAY_RECORD_VERSION) {
        RELAY_WHY(why, p, "record %s has version %ld, this program knows up to %d: upgrade it", key,
                  n, RELAY_RECORD_VERSION);
        return RELAY_ERECORD;
    }
    return APR_SUCCESS;
}

/* ---- records */

static apr_status_t bad_field(const char *key, const char *field, apr_pool_t *p, const char **why)
{
    RELAY_WHY(why, p, "record %s is malformed: field %s", key, field);
    return RELAY_ERECORD;
}

/* A field that is an id or a label: it ends up in logs and environments. */
static const char *label_field(const redisReply *hash, const char *field, apr_pool_t *p)
{
    const char *v = relay_reply_field(hash, field);

    return v && relay_name_check(v, strlen(v), NULL, NULL) == APR_SUCCESS ? apr_pstrdup(p, v)
                                                                          : NULL;
}

/* Free text, "" where there is none; 0 if it holds a control character. */
static int text_field(const redisReply *hash, const char *field, const char **out, apr_pool_t *p)
{
    const char *v = relay_reply_field(hash, field), *c;

    for (c = v ? v : ""; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return 0;
    *out = apr_pstrdup(p, v ? v : "");
    return 1;
}

static apr_status_t read_route(relay_route *r, const redisReply *hash, const char *name,
                               const char *key, apr_pool_t *p, const char **why)
{
    const char *v;
    apr_status_t rv = relay_reply_version(hash, key, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    r->name = apr_pstrdup(p, name);
    if ((r->tunnel = label_field(hash, "tunnel", p)) == NULL)
        return bad_field(key, "tunnel", p, why);
    if ((r->relay = label_field(hash, "relay", p)) == NULL)
        return bad_field(key, "relay", p, why);
    if ((v = relay_reply_field(hash, "listen")) == NULL ||
        relay_listen_addr_parse(&r->listen, v) != APR_SUCCESS)
        return bad_field(key, "listen", p, why);
    if ((v = relay_reply_field(hash, "scheme")) == NULL || !relay_scheme_is_known(v))
        return bad_field(key, "scheme", p, why);
    r->scheme = apr_pstrdup(p, v);
    r->origin = apr_pstrcat(p, v, "://", relay_listen_addr_print(r->listen, p), NULL);
    if (!relay_time_parse(&r->expires, relay_reply_field(hash, "expires")))
        return bad_field(key, "expires", p, why);
    if (!text_field(hash, "device", &r->device, p))
        return bad_field(key, "device", p, why);
    if (!text_field(hash, "service", &r->service, p))
        return bad_field(key, "service", p, why);
    r->chosen = (v = relay_reply_field(hash, "chosen")) != NULL && strcmp(v, "1") == 0;
    v = relay_reply_field(hash, "owner");
    /* It becomes a cookie's value. */
    if ((r->owner = v && *v ? label_field(hash, "owner", p) : "") == NULL)
        return bad_field(key, "owner", p, why);
    return APR_SUCCESS;
}

static apr_status_t read_gone(const char **gone, const redisReply *hash, const char *key,
                              apr_pool_t *p, const char **why)
{
    apr_status_t rv;
    const char *v;

    if (hash->type != REDIS_REPLY_ARRAY || hash->elements == 0)
        return RELAY_ENOTFOUND;
    if ((rv = relay_reply_version(hash, key, p, why)) != APR_SUCCESS)
        return rv;
    v = relay_reply_field(hash, "why");
    *gone = v && strcmp(v, "closed") == 0 ? "closed" : "expired";
    return RELAY_EGONE;
}

apr_status_t relay_store_route(relay_store *s, const char *name, relay_route *route,
                               const char **gone, apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, "route:", name),
               *gone_key = relay_store_key(s, p, "gone:", name);
    const char *get[] = {"HGETALL", key}, *ttl[] = {"PTTL", key},
               *get_gone[] = {"HGETALL", gone_key};
    relay_store_cmd cmds[] = {{2, get, NULL}, {2, ttl, NULL}, {2, get_gone, NULL}};
    relay_route found = {0};
    redisReply *r[3];
    apr_status_t rv;

    if ((rv = relay_store_read(s, cmds, 3, r, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, r[0], key, p, why)) != APR_SUCCESS ||
        (rv = relay_store_check(s, r[1], NULL, p, why)) != APR_SUCCESS ||
        (rv = relay_store_check(s, r[2], gone_key, p, why)) != APR_SUCCESS)
        goto out;
    /* PTTL is -2 when the key has expired between the two, -1 when it would live for ever. */
    if (r[0]->type != REDIS_REPLY_ARRAY || r[0]->elements == 0 ||
        r[1]->type != REDIS_REPLY_INTEGER || r[1]->integer == -2 || r[1]->integer == 0) {
        rv = read_gone(gone, r[2], gone_key, p, why);
        goto out;
    }
    if ((rv = read_route(&found, r[0], name, key, p, why)) != APR_SUCCESS)
        goto out;
    if (r[1]->integer < 0) {
        RELAY_WHY(why, p, "record %s is malformed: it has no expiry", key);
        rv = RELAY_ERECORD;
        goto out;
    }
    /* What would outlive us is asked for again: no arithmetic with it overflows. */
    found.lives = r[1]->integer < apr_time_as_msec(RELAY_DURATION_MAX)
                      ? apr_time_from_msec(r[1]->integer)
                      : RELAY_DURATION_MAX;
    *route = found;
out:
    relay_store_free(r, 3);
    return rv;
}

apr_status_t relay_store_route_check(const relay_config *cfg, const relay_route *route,
                                     apr_pool_t *p, const char **why)
{
    if (strcmp(route->relay, cfg->name)) {
        RELAY_WHY(why, p, "tunnel %s is on relay %s, this is %s", route->tunnel, route->relay,
                  cfg->name);
        return RELAY_ERECORD;
    }
    if (!relay_listen_contains(cfg->listen, route->listen)) {
        RELAY_WHY(why, p,
                  "tunnel %s has the listen address %s, which is outside of [relay] listen (%s)",
                  route->tunnel, relay_listen_addr_print(route->listen, p), cfg->listen->text);
        return RELAY_ERECORD;
    }
    return APR_SUCCESS;
}

int relay_fingerprint_is_valid(const char *text)
{
    return strncmp(text, "SHA256:", 7) == 0 && strlen(text) == 50 &&
           strspn(text + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") ==
               43;
}

static apr_status_t read_grant(relay_grant *g, const redisReply *hash, const char *key,
                               apr_pool_t *p, const char **why)
{
    const char *v;
    char *word, *state;
    relay_listen_addr *addrs;
    apr_status_t rv = relay_reply_version(hash, key, p, why);

    if (rv != APR_SUCCESS)
        return rv;
    if ((g->tunnel = label_field(hash, "tunnel", p)) == NULL)
        return bad_field(key, "tunnel", p, why);
    if ((g->relay = label_field(hash, "relay", p)) == NULL)
        return bad_field(key, "relay", p, why);
    if (!relay_time_parse(&g->expires, relay_reply_field(hash, "expires")))
        return bad_field(key, "expires", p, why);
    if ((v = relay_reply_field(hash, "listen")) == NULL || strlen(v) > 4096)
        return bad_field(key, "listen", p, why);
    addrs = apr_palloc(p, (strlen(v) / 2 + 1) * sizeof(*addrs));
    for (word = apr_strtok(apr_pstrdup(p, v), " ", &state); word;
         word = apr_strtok(NULL, " ", &state))
        if (relay_listen_addr_parse(&addrs[g->naddrs++], word) != APR_SUCCESS)
            return bad_field(key, "listen", p, why);
    g->addrs = addrs;
    return g->naddrs ? APR_SUCCESS : bad_field(key, "listen", p, why);
}

apr_status_t relay_store_grant(relay_store *s, const char *fingerprint, relay_grant *grant,
                               apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, "key:", fingerprint), *get[] = {"HGETALL", key};
    relay_store_cmd cmd = {2, get, NULL};
    relay_grant found = {0};
    redisReply *r;
    apr_status_t rv;

    if (!relay_fingerprint_is_valid(fingerprint))
        return RELAY_ENOTFOUND;
    if ((rv = relay_store_read(s, &cmd, 1, &r, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, r, key, p, why)) == APR_SUCCESS)
        rv = r->type == REDIS_REPLY_ARRAY && r->elements ? read_grant(&found, r, key, p, why)
                                                         : RELAY_ENOTFOUND;
    freeReplyObject(r);
    if (rv == APR_SUCCESS)
        *grant = found;
    return rv;
}

apr_status_t relay_store_key_ended(relay_store *s, const char *fingerprint, const char **tunnel,
                                   int *closed, apr_pool_t *p, const char **why)
{
    const char *key = relay_store_key(s, p, "gone:", fingerprint), *get[] = {"HGETALL", key},
               *gone = NULL, *id;
    relay_store_cmd cmd = {2, get, NULL};
    redisReply *r;
    apr_status_t rv;

    if (!relay_fingerprint_is_valid(fingerprint))
        return RELAY_ENOTFOUND;
    if ((rv = relay_store_read(s, &cmd, 1, &r, p, why)) != APR_SUCCESS)
        return rv;
    if ((rv = relay_store_check(s, r, key, p, why)) == APR_SUCCESS)
        rv = read_gone(&gone, r, key, p, why);
    if (rv == RELAY_EGONE) {
        id = relay_reply_field(r, "tunnel");
        rv = id ? APR_SUCCESS : RELAY_ENOTFOUND;
        *tunnel = id ? apr_pstrdup(p, id) : NULL;
        *closed = strcmp(gone, "closed") == 0;
    }
    freeReplyObject(r);
    return rv;
}
