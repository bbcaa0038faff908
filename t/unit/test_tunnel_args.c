/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay_tunnel_open: what it refuses before it asks Redis. There is none at the configured place,
 * so that RELAY_EUNREACHABLE says that a request went past all checks.
 */
#include "relay_tunnel.h"
#include "tap.h"

#include <apr_general.h>

#define FINGERPRINT "SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
#define DAYS(n) apr_time_from_sec((n)*APR_INT64_C(86400))

static apr_pool_t *pool;
static relay_config config;
static relay_store *store;
static const relay_service *services[RELAY_TUNNEL_ROUTES_MAX + 1];

/* A request that is all right. */
static relay_tunnel_request request(void)
{
    relay_tunnel_request req = {.nservices = 1,
                                .services = services,
                                .fingerprint = FINGERPRINT,
                                .actor = {.by = "me@here"}};

    return req;
}

static void expect(const relay_tunnel_request *req, apr_status_t status, const char *fault,
                   const char *what)
{
    relay_tunnel *t = NULL;
    const char *why = "";
    apr_status_t rv = relay_tunnel_open(&t, store, &config, req, pool, &why);

    if (!ok(rv == status, "%s", what))
        printf("# %d instead of %d\n", rv, status);
    if (!ok(strstr(why, fault), "and the error says: %s", fault))
        printf("# said: %s\n", why);
    ok(!t, "there is no tunnel");
    ok(relay_tunnel_open(&t, store, &config, req, pool, NULL) == status, "the same without why");
}

#define PASSES RELAY_EUNREACHABLE, "cannot connect to Redis"

static void test_names(void)
{
    static const char *const bad[] = {"", "A", "a_b", "-a", "a-", "a.b", "xn--x", " a", "a\n"};
    const char *names[3] = {"one", "two", NULL};
    relay_tunnel_request req;
    unsigned i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        req = request();
        req.name = bad[i];
        expect(&req, RELAY_EINPUT, "cannot be a name: ", apr_psprintf(pool, "a bad name, %u", i));
    }
    req = request();
    req.name = "good-name";
    expect(&req, PASSES, "a good name");
    req.name = "www";
    expect(&req, RELAY_EREFUSED, "is reserved", "a reserved name");
    req.name = "ssh";
    expect(&req, RELAY_EREFUSED, "is reserved", "another reserved name");
    req = request();
    req.nservices = 3;
    req.names = names;
    expect(&req, PASSES, "two names and a random one");
    names[2] = "one";
    expect(&req, RELAY_EINPUT, "`one' is given twice", "a name twice");
    names[2] = "Two";
    expect(&req, RELAY_EINPUT, "cannot be a name", "a bad one among them");
    req.name = "-ignored-";
    names[2] = "three";
    expect(&req, PASSES, "`name' is not used where there are names");
}

static void test_numbers(void)
{
    static const struct {
        apr_interval_time_t ttl;
        apr_status_t status;
        const char *fault;
    } ttls[] = {{0, PASSES},
                {1000, PASSES},
                {DAYS(30), PASSES},
                {-1, RELAY_EINPUT, "longer than 0"},
                {-DAYS(1), RELAY_EINPUT, "longer than 0"},
                {DAYS(30) + 1000, RELAY_EREFUSED, "over the limit of 30d"},
                {DAYS(3650), RELAY_EREFUSED, "3650d is over the limit"},
                {APR_INT64_MAX, RELAY_EREFUSED, "over the limit"},
                {APR_INT64_MIN, RELAY_EINPUT, "longer than 0"}};
    static const int counts[] = {0, -1, RELAY_TUNNEL_ROUTES_MAX + 1, 1 << 30};
    relay_tunnel_request req;
    unsigned i;

    for (i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
        req = request();
        req.ttl = ttls[i].ttl;
        expect(&req, ttls[i].status, ttls[i].fault,
               apr_psprintf(pool, "a TTL of %" APR_INT64_T_FMT " us", ttls[i].ttl));
    }
    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        req = request();
        req.nservices = counts[i];
        expect(&req, RELAY_EINPUT, "1 to 32 services",
               apr_psprintf(pool, "%d services", counts[i]));
    }
    req = request();
    req.nservices = RELAY_TUNNEL_ROUTES_MAX;
    expect(&req, PASSES, "as many services as there may be");
}

static void test_texts(void)
{
    static const char *const good[] = {"",
                                       "NAS",
                                       "the NAS, 2nd floor",
                                       "K\303\274che",
                                       "B\xc3\xbcro 3",
                                       "\xe3\x82\xb5\xe3\x83\xbc\xe3\x83\x90",
                                       "\xd8\xac\xd9\x87\xd8\xa7\xd8\xb2",
                                       "\xf0\x9f\x92\xbe",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x96\xa8",
                                       "\xc2\xa0",
                                       "a\"b'c\\d$(e)"};
    static const struct {
        const char *what, *text;
    } bad[] = {
        {"a line break", "a\nb"},
        {"a carriage return", "a\rb"},
        {"a tab", "a\tb"},
        {"an escape sequence", "\x1b[2J"},
        {"an escape", "a\x1b\x62"},
        {"a DEL", "\x7f"},
        {"a byte that is none of UTF-8", "\xff"},
        {"two of them", "\xff\xfe"},
        {"one that continues nothing", "\x80"},
        {"a character that is cut short", "\xc3"},
        {"another after text", "a\xe2\x82"},
        {"one of three bytes, cut short", "\xe2\x82"},
        {"one that goes on wrongly", "\xc3("},
        {"NUL as two bytes", "\xc0\x80"},
        {"DEL as two bytes", "\xc1\xbf"},
        {"a `/' as two bytes", "a\xc0\xaf\x62"},
        {"a `/' as three bytes", "a\xe0\x80\xaf\x62"},
        {"an escape as four bytes", "\xf0\x80\x80\x9b"},
        {"a surrogate", "a\xed\xa0\x80"},
        {"a character beyond U+10FFFF", "\xf4\x90\x80\x80"},
        {"one far beyond", "\xf5\x80\x80\x80"},
        {"a C1 control", "a\xc2\x9b\x62"},
        {"an escape sequence of C1", "\xc2\x9b\x32J"},
        {"a bidirectional override", "nas \xe2\x80\xaegnp.exe"},
        {"a bidirectional isolate", "\xe2\x81\xa6nas"},
        {"a right-to-left mark", "nas\xe2\x80\x8f"},
        {"a line separator", "nas\xe2\x80\xa8up"},
    };
    static const char *const prints[] = {"",
                                         "SHA256:",
                                         "MD5:00:11",
                                         "SHA256:abc",
                                         "sha256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ",
                                         FINGERPRINT "=",
                                         FINGERPRINT "R",
                                         "SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO-Q",
                                         "SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO\nQ"};
    char text[RELAY_DEVICE_MAX + 2];
    relay_tunnel_request req;
    unsigned i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        req = request();
        req.device = good[i];
        expect(&req, PASSES, apr_psprintf(pool, "a device's name, %u", i));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        req = request();
        req.device = bad[i].text;
        expect(&req, RELAY_EINPUT, "UTF-8 without control characters",
               apr_psprintf(pool, "a device's name has %s", bad[i].what));
    }
    memset(text, 'x', sizeof(text));
    text[RELAY_DEVICE_MAX + 1] = '\0';
    req = request();
    req.device = text;
    expect(&req, RELAY_EINPUT, "at most 200 bytes", "a device's name that is too long");
    text[RELAY_DEVICE_MAX] = '\0';
    expect(&req, PASSES, "one that is just short enough");
    for (i = 0; i < sizeof(prints) / sizeof(prints[0]); i++) {
        req = request();
        req.fingerprint = prints[i];
        expect(&req, RELAY_EINPUT, "is not a SHA256 fingerprint",
               apr_psprintf(pool, "not a fingerprint, %u", i));
    }
}

int main(void)
{
    relay_service *service;
    int i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    config.file = "none";
    config.name = "relay1";
    config.domain = "relay.example.com";
    config.ttl = apr_time_from_sec(7200);
    config.ttl_max = DAYS(30);
    config.cooldown = apr_time_from_sec(900);
    config.prefix = "relay:";
    config.redis_timeout = apr_time_from_msec(100);
    relay_listen_space_parse(&config.listen, "127.64.0.0/10:10000-59999", pool, NULL);
    relay_redis_url_parse(&config.redis, "unix:///nonexistent/redis.sock", pool, NULL);
    relay_service_parse(&service, "http://127.0.0.1", pool, NULL);
    for (i = 0; i <= RELAY_TUNNEL_ROUTES_MAX; i++)
        services[i] = service;
    relay_store_create(&store, &config, pool);
    test_names();
    test_numbers();
    test_texts();
    apr_terminate();
    return done_testing();
}
