/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A route's record: what is read of it, what is malformed, and that a packed one needs nothing of
 * what it was made of. */

#include "relay_route.h"
#include "tap.h"

#include <apr_general.h>
#include <stdlib.h>

#define KEY "relay:route:nas"

/* A record as `rly open` writes it: field, value, field, value… */
static const char *const whole[] = {"v",          "1",           "tunnel",  "2kqv5d7mzu3fhw4a",
                                    "relay",      "relay1",      "listen",  "127.77.0.5:10000",
                                    "scheme",     "http",        "expires", "1999999999999",
                                    "device",     "NAS in Bern", "service", "http://127.0.0.1",
                                    "chosen",     "1",           "owner",   "y3hq5d7mzu3fhw4a",
                                    "generation", "7",           "host",    "nas.lan:81",
                                    "forwarded",  "off",         "upgrade", "tcp spdy/3.1",
                                    "old_tls",    "on",          NULL};

/* The reply to HGETALL, with one field changed to value; NULL: left out. */
static redisReply *reply_of(apr_pool_t *p, const char *field, const char *value)
{
    redisReader *reader = redisReaderCreate();
    const char *body = "";
    void *reply = NULL;
    int i, n = 0;

    for (i = 0; whole[i]; i += 2) {
        const char *v = field && strcmp(whole[i], field) == 0 ? value : whole[i + 1];

        if (v)
            body = apr_psprintf(p, "%s$%d\r\n%s\r\n$%d\r\n%s\r\n", body, (int)strlen(whole[i]),
                                whole[i], (int)strlen(v), v);
        n += v ? 2 : 0;
    }
    body = apr_psprintf(p, "*%d\r\n%s", n, body);
    redisReaderFeed(reader, body, strlen(body));
    redisReaderGetReply(reader, &reply);
    redisReaderFree(reader);
    return reply;
}

static apr_status_t read_with(relay_route *route, const char *field, const char *value,
                              apr_pool_t *p, const char **why)
{
    redisReply *reply = reply_of(p, field, value);
    apr_status_t rv = relay_route_read(route, reply, "nas", KEY, p, why);

    freeReplyObject(reply);
    return rv;
}

static void judge(const relay_route *r, const char *what)
{
    is(r->name, "nas", "%s: the name", what);
    is(r->tunnel, "2kqv5d7mzu3fhw4a", "%s: tunnel", what);
    is(r->relay, "relay1", "%s: relay", what);
    is(r->scheme, "http", "%s: scheme", what);
    is(r->device, "NAS in Bern", "%s: device", what);
    is(r->service, "http://127.0.0.1", "%s: service", what);
    is(r->owner, "y3hq5d7mzu3fhw4a", "%s: owner", what);
    is(r->origin, "http://127.77.0.5:10000", "%s: the origin", what);
    ok(r->listen.ip == 0x7f4d0005 && r->listen.port == 10000, "%s: listen", what);
    ok(r->expires == APR_INT64_C(1999999999999000), "%s: expires", what);
    ok(r->chosen == 1, "%s: chosen", what);
    ok(r->generation == 7, "%s: generation", what);
    is(r->host, "nas.lan:81", "%s: host", what);
    is(r->authority, "nas.lan:81", "%s: authority", what);
    is(r->upgrade, "tcp spdy/3.1", "%s: upgrade", what);
    ok(!r->forwarded && r->old_tls, "%s: forwarded, old_tls", what);
}

static void test_read(apr_pool_t *p)
{
    static const struct {
        const char *field, *value;
    } bad[] = {
        {"v", NULL},
        {"v", "0"},
        {"v", "x"},
        {"v", "2"},
        {"tunnel", NULL},
        {"tunnel", ""},
        {"tunnel", "A b"},
        {"relay", NULL},
        {"relay", "re/lay"},
        {"listen", NULL},
        {"listen", "127.77.0.5"},
        {"listen", "127.77.0.5:0"},
        {"scheme", NULL},
        {"scheme", "gopher"},
        {"expires", NULL},
        {"expires", "-1"},
        {"expires", "12ab"},
        {"expires", "1999999999999999"},
        {"device", "a\nb"},
        {"service", "\x7f"},
        {"owner", "a;b"},
        {"chosen", "yes"},
        {"generation", "second"},
        {"host", "nas.lan/"},
        {"host", "nas\r\nX: y"},
        {"host", "nas:0"},
        {"forwarded", "no"},
        {"forwarded", "ON"},
        {"upgrade", "h2c"},
        {"upgrade", "tcp\r\nX: y"},
        {"old_tls", "1"},
    };
    static const char *const optional[] = {"device", "service",   "owner",   "chosen",
                                           "host",   "forwarded", "upgrade", "old_tls"};
    const char *why = NULL;
    relay_route r;
    unsigned i;

    ok(read_with(&r, NULL, NULL, p, &why) == APR_SUCCESS, "a whole record is read");
    judge(&r, "read");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        relay_route untouched = {.name = "untouched"};

        ok(read_with(&untouched, bad[i].field, bad[i].value, p, &why) == RELAY_ERECORD &&
               strstr(why, KEY) &&
               strstr(why, strcmp(bad[i].field, "v") ? bad[i].field : "version"),
           "malformed: %s %u", bad[i].field, i);
        is(untouched.name, "untouched", "… and nothing was written");
    }
    for (i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        ok(read_with(&r, optional[i], NULL, p, &why) == APR_SUCCESS, "without %s", optional[i]);
    ok(read_with(&r, "chosen", NULL, p, &why) == APR_SUCCESS && r.chosen == 0,
       "a name that was not chosen");
    ok(read_with(&r, "owner", "", p, &why) == APR_SUCCESS && r.owner && !*r.owner,
       "an owner that is empty");
    ok(read_with(&r, "device", NULL, p, &why) == APR_SUCCESS && r.device && !*r.device,
       "no device is an empty one");
}

static void test_needs(apr_pool_t *p)
{
    static const struct {
        const char *field, *value;
    } absent[] = {{"host", NULL},    {"host", ""},    {"forwarded", NULL}, {"forwarded", ""},
                  {"upgrade", NULL}, {"upgrade", ""}, {"old_tls", NULL},   {"old_tls", ""}};
    relay_route r;
    unsigned i;

    for (i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        const char *field = absent[i].field;

        ok(read_with(&r, field, absent[i].value, p, NULL) == APR_SUCCESS &&
               (strcmp(field, "host") == 0        ? strcmp(r.host, "public") == 0
                : strcmp(field, "forwarded") == 0 ? r.forwarded
                : strcmp(field, "upgrade") == 0   ? !*r.upgrade
                                                  : !r.old_tls),
           "%s that is %s is the default", field, absent[i].value ? "empty" : "missing");
    }
}

/* Which Host a device is given, by the fields host and service. */
static void test_authority(apr_pool_t *p)
{
    static const struct {
        const char *host, *service, *authority; /* NULL: malformed */
    } rows[] = {{NULL, "http://127.0.0.1", ""},
                {"public", "http://127.0.0.1:81", ""},
                {"public", "nonsense", ""},
                {"device", "http://127.0.0.1", "127.0.0.1"},
                {"device", "http://127.0.0.1:80", "127.0.0.1"},
                {"device", "https://NAS.lan:8443", "nas.lan:8443"},
                {"device", "http://nas.lan:443", "nas.lan:443"},
                {"device", "h2c://[fd00::1]:50051", "[fd00::1]:50051"},
                {"device", "", NULL},
                {"device", "nonsense", NULL},
                {"device", "http://a b", NULL},
                {"nas", "https://127.0.0.1", "nas"}};
    const char *why = "";

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        redisReply *reply = reply_of(p, "host", rows[i].host);
        relay_route r = {0};
        apr_status_t rv;

        for (size_t j = 0; j + 1 < reply->elements; j += 2)
            if (strcmp(reply->element[j]->str, "service") == 0) {
                redisReply *value = reply->element[j + 1];

                free(value->str);
                value->len = strlen(rows[i].service);
                value->str = strdup(rows[i].service);
            }
        rv = relay_route_read(&r, reply, "nas", KEY, p, &why);
        freeReplyObject(reply);
        if (rows[i].authority)
            is(rv == APR_SUCCESS ? r.authority : why, rows[i].authority, "authority, row %u", i);
        else
            ok(rv == RELAY_ERECORD && strstr(why, "service"), "authority, row %u: malformed", i);
    }
}

static void test_generation(apr_pool_t *p)
{
    const char *why = NULL;
    relay_route r;

    ok(read_with(&r, NULL, NULL, p, &why) == APR_SUCCESS && r.generation == 7, "a generation");
    ok(read_with(&r, "generation", NULL, p, &why) == APR_SUCCESS && r.generation == 1,
       "a record of an older version, which has none, is of the first");
}

static void test_packed(apr_pool_t *p)
{
    relay_route r, name_only = {.name = "nas"}, again;
    relay_route_packed *packed;
    apr_pool_t *first, *second;
    apr_size_t size;

    apr_pool_create(&first, p);
    apr_pool_create(&second, p);
    read_with(&r, NULL, NULL, first, NULL);
    size = relay_route_packed_size(&r);
    packed = malloc(size + 1);
    ((char *)packed)[size] = '!';
    relay_route_pack(packed, &r);
    ok(((char *)packed)[size] == '!' && packed->text + packed->length <= (char *)packed + size,
       "a packed route is as large as was said");
    /* Nothing of what it was made of is there any more. */
    memset((char *)r.tunnel, 'X', strlen(r.tunnel));
    memset((char *)r.origin, 'X', strlen(r.origin));
    memset(&r, 0, sizeof(r));
    apr_pool_destroy(first);
    judge(&packed->route, "packed");
    relay_route_unpack(&again, packed, second);
    memset(packed, 'Y', size);
    free(packed);
    judge(&again, "unpacked, and the packed one is gone");

    packed = malloc(relay_route_packed_size(&name_only));
    relay_route_pack(packed, &name_only);
    relay_route_unpack(&again, packed, second);
    free(packed);
    is(again.name, "nas", "a route with a name only: the name");
    ok(!again.tunnel && !again.origin && !again.owner, "what is NULL stays NULL");
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_read(p);
    test_needs(p);
    test_authority(p);
    test_generation(p);
    test_packed(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
