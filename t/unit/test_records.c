/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The small rooms: names of keys, events, entries of live:, tunnels' records, listen spaces. */

#include "relay_event.h"
#include "relay_issue.h"
#include "relay_keyname.h"
#include "relay_live.h"
#include "relay_tunnel_record.h"
#include "tap.h"

#include <apr_general.h>

static relay_config config = {.prefix = "my:", .name = "relay1"};

static void test_keynames(apr_pool_t *p)
{
    static const relay_listen_addr addr = {0x7f4d0005, 10000};
    char buf[RELAY_KEYNAME_SIZE], small[8];

    is(relay_keyname(&config, RELAY_KEYNAME_ROUTE, "nas", p), "my:route:nas", "a route");
    is(relay_keyname(&config, RELAY_KEYNAME_GRANT, "SHA256:x", p), "my:key:SHA256:x", "a grant");
    is(relay_keyname(&config, RELAY_KEYNAME_EVENTS, "", p), "my:events", "events");
    is(relay_keyname_format(&config, RELAY_KEYNAME_LIVE, "relay1", buf, sizeof(buf)),
       "my:live:relay1", "without a pool");
    is(relay_keyname_format(&config, RELAY_KEYNAME_LIVE, "relay1", small, sizeof(small)), "my:live",
       "what does not fit is cut");
    is(relay_keyname_slot(&config, addr, buf, sizeof(buf)), "my:slot:relay1:127.77.0.5:10000",
       "a slot");
}

static void test_events(void)
{
    const char *argv[RELAY_EVENT_ARGV_MAX], *more[2 * RELAY_EVENT_MORE_MAX + 3];
    static const relay_event event = {"up", "t", "relay1", "me"};
    int i, argc;

    argc = relay_event_command(argv, "my:events", &event,
                               (const char *const[]){"peer", "p", "why", NULL});
    ok(argc == 16, "an event that says one thing more; a value that is NULL ends it");
    is(argv[0], "XADD", "it is appended");
    is(argv[1], "my:events", "to the stream");
    is(argv[4], "10000", "which is capped");
    is(argv[9], "t", "the tunnel");
    is(argv[15], "p", "the last value");
    for (i = 0; i < 2 * RELAY_EVENT_MORE_MAX + 2; i++)
        more[i] = "x";
    more[i] = NULL;
    ok(relay_event_command(argv, "k", &event, more) == RELAY_EVENT_ARGV_MAX,
       "no more than there is room for");
}

static void test_live(apr_pool_t *p)
{
    relay_live entry = {"2kqv5d7mzu3fhw4a", 4711, APR_INT64_C(1999999999999), "192.0.2.1:5",
                        "listening"},
               again;
    char buf[RELAY_LIVE_SIZE], small[20];
    static const char *const odd[] = {"", "{", "[]", "7", "{}", "{\"pid\":\"x\",\"tunnel\":7}"};
    unsigned i;

    is(relay_live_print(&entry, buf, sizeof(buf)),
       "{\"tunnel\":\"2kqv5d7mzu3fhw4a\",\"pid\":4711,\"since\":1999999999999,"
       "\"peer\":\"192.0.2.1:5\",\"way\":\"listening\"}",
       "an entry of live:");
    relay_live_parse(&again, buf, p);
    is(again.tunnel, entry.tunnel, "read again: tunnel");
    is(again.peer, entry.peer, "peer");
    is(again.way, entry.way, "way");
    ok(again.pid == 4711 && again.since_ms == entry.since_ms, "pid, since");
    is(relay_live_print(&entry, small, sizeof(small)), "", "one that does not fit is not written");
    entry.peer = "\xff";
    is(relay_live_print(&entry, buf, sizeof(buf)), "", "nor one that is no UTF-8");
    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        relay_live_parse(&again, odd[i], p);
        ok(!again.tunnel && !again.pid && !again.peer && !again.way, "no entry: `%s'", odd[i]);
    }
    relay_live_parse(&again, "{\"tunnel\":\"t\",\"pid\":99999999999}", p);
    ok(again.tunnel && again.pid == 0, "a pid that is none");
}

static redisReply *reply_of(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    redisReaderFeed(reader, text, strlen(text));
    redisReaderGetReply(reader, &reply);
    redisReaderFree(reader);
    return reply;
}

static int routes_of(const char *routes)
{
    char text[120];
    relay_tunnel_record record;
    redisReply *reply;

    apr_snprintf(text, sizeof(text), "*2\r\n$6\r\nroutes\r\n$%d\r\n%s\r\n", (int)strlen(routes),
                 routes);
    reply = reply_of(text);
    relay_tunnel_record_read(&record, reply);
    freeReplyObject(reply);
    return record.nroutes;
}

static void test_tunnel(void)
{
    redisReply *reply = reply_of("*10\r\n$2\r\nid\r\n$1\r\nt\r\n$6\r\nroutes\r\n$1\r\n2\r\n"
                                 "$6\r\nname.1\r\n$1\r\nn\r\n$8\r\nlisten.0\r\n"
                                 "$16\r\n127.77.0.5:10000\r\n$8\r\nlisten.1\r\n$3\r\n1.2\r\n");
    relay_tunnel_record r;

    relay_tunnel_record_read(&r, reply);
    is(r.id, "t", "a tunnel's record: its id");
    ok(!r.key && !r.state && !r.expires, "what is missing is NULL or 0");
    ok(r.nroutes == 2 && r.routes[0].listen.port == 10000, "its routes");
    ok(!r.routes[0].name && !r.routes[1].listen.port, "of which one field is missing, one is bad");
    is(r.routes[1].name, "n", "the name of the second");
    freeReplyObject(reply);
    ok(routes_of("32") == 32, "as many routes as a tunnel may have");
    ok(routes_of("33") == 0 && routes_of("0") == 0 && routes_of("-1") == 0, "no number of routes");
    ok(routes_of("12ab") == 0 && routes_of("") == 0 && routes_of("00001") == 0, "nor a number");
}

static void test_issue(apr_pool_t *p)
{
    static const struct {
        const char *listen, *word;
    } spaces[] = {{"127.64.0.0/10:10000-59999", "wide"},
                  {"127.77.0.0/22:10000-59999", "roomy"},
                  {"127.0.0.1:20000-29999", "narrow"}};
    const char *why;
    unsigned i;

    config.cooldown = apr_time_from_sec(900);
    for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        relay_listen_space_parse(&config.listen, spaces[i].listen, p, NULL);
        is(relay_issue_space_word(relay_issue_space(&config)), spaces[i].word, "%s is %s",
           spaces[i].listen, spaces[i].word);
    }
    config.cooldown = apr_time_from_sec(1);
    ok(relay_issue_space(&config) == RELAY_SPACE_ROOMY, "with a short cooldown it is roomy");
    ok(relay_issue_refused(&config, "lost", "61001", p, &why) == RELAY_EUNREACHABLE, "a refusal");
    ok(strstr(why, "the cooldown is over in ") != NULL, "it says for how long: %s", why);
}

int main(void)
{
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    test_keynames(p);
    test_events();
    test_live(p);
    test_tunnel();
    test_issue(p);
    apr_pool_destroy(p);
    apr_terminate();
    return done_testing();
}
