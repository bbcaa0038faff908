/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_listen: the listen space, its positions, and addresses. */
#include "relay_listen.h"
#include "tap.h"

#include <apr_general.h>

static apr_pool_t *pool;

static const struct {
    const char *text;
    apr_uint64_t size;
    const char *first, *last;
} spaces[] = {
    {"127.64.0.0/10:10000-59999", APR_UINT64_C(4194302) * 50000, "127.64.0.1:10000",
     "127.127.255.254:59999"},
    {"127.0.0.0/8:1024-65535", APR_UINT64_C(16777214) * 64512, "127.0.0.1:1024",
     "127.255.255.254:65535"},
    {"127.0.0.1:20000-29999", 10000, "127.0.0.1:20000", "127.0.0.1:29999"},
    {"127.0.0.1/32:20000-20000", 1, "127.0.0.1:20000", "127.0.0.1:20000"},
    {"127.0.0.2/31:20000-20001", 4, "127.0.0.2:20000", "127.0.0.3:20001"},
    {"127.0.0.4/30:20000-20001", 4, "127.0.0.5:20000", "127.0.0.6:20001"},
    {"127.1.2.0/24:5000-5001", 508, "127.1.2.1:5000", "127.1.2.254:5001"},
    {"127.0.0.1:2000-2001,127.0.0.1:3000-3001", 4, "127.0.0.1:2000", "127.0.0.1:3001"},
    {"127.0.0.1:2000-2001 127.0.0.2:2000-2001", 4, "127.0.0.1:2000", "127.0.0.2:2001"},
    {" 127.0.0.1:2000-2001 ,\t127.0.0.9:2000-2000 ", 3, "127.0.0.1:2000", "127.0.0.9:2000"},
};

static const struct {
    const char *text, *fault;
} bad[] = {
    {"", "it is empty"},
    {" , ", "it is empty"},
    {"localhost:20000-29999", "IPv4 address"},
    {"::1:20000-29999", "IPv4 address"},
    {"127.0.0:20000-29999", "IPv4 address"},
    {"127.0.0.256:20000-29999", "IPv4 address"},
    {"127.0.0.01:20000-29999", "IPv4 address"},
    {"10.0.0.1:20000-29999", "loopback"},
    {"128.0.0.0/8:20000-29999", "loopback"},
    {"0.0.0.0/8:20000-29999", "loopback"},
    {"127.0.0.0/7:20000-29999", "prefix length"},
    {"127.0.0.0/33:20000-29999", "prefix length"},
    {"127.0.0.0/:20000-29999", "prefix length"},
    {"127.0.0.0/-8:20000-29999", "prefix length"},
    {"127.0.0.0/08:20000-29999", "prefix length"},
    {"127.0.0.1/24:20000-29999", "beyond its prefix"},
    {"127.0.0.1", "write ADDRESS"},
    {"127.0.0.1:20000", "write ADDRESS"},
    {"127.0.0.1:20000-", "write ADDRESS"},
    {"127.0.0.1:-20000", "write ADDRESS"},
    {"127.0.0.1:20000-65536", "write ADDRESS"},
    {"127.0.0.1:20000-29999x", "write ADDRESS"},
    {"127.0.0.1:20000-29999/24", "write ADDRESS"},
    {"127.0.0.1:1023-2000", "1024 or higher"},
    {"127.0.0.1:0-2000", "1024 or higher"},
    {"127.0.0.1:2001-2000", "above the high port"},
    {"127.0.0.1:2000-2001 127.0.0.1:2001-2002", "overlaps"},
    {"127.0.0.0/24:2000-2001 127.0.0.7:1500-2000", "overlaps"},
    {"127.0.0.1:2000-2001 127.0.0.1:2000-2001", "overlaps"},
    {"127.0.0.1:2000-2001;127.0.0.2:2000-2001", "write ADDRESS"},
    {"127.0.0.1 :2000-2001", "write ADDRESS"},
    {"127.0.0.1:2000-2000 127.0.0.1:2001-2001 127.0.0.1:2002-2002 127.0.0.1:2003-2003 "
     "127.0.0.1:2004-2004 127.0.0.1:2005-2005 127.0.0.1:2006-2006 127.0.0.1:2007-2007 "
     "127.0.0.1:2008-2008 127.0.0.1:2009-2009 127.0.0.1:2010-2010 127.0.0.1:2011-2011 "
     "127.0.0.1:2012-2012 127.0.0.1:2013-2013 127.0.0.1:2014-2014 127.0.0.1:2015-2015 "
     "127.0.0.1:2016-2016",
     "more than 16 blocks"},
};

static void test_spaces(void)
{
    unsigned i;

    for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        relay_listen_space *s = NULL;
        const char *why = NULL;

        if (!ok(relay_listen_space_parse(&s, spaces[i].text, pool, &why) == APR_SUCCESS, "%s",
                spaces[i].text))
            continue;
        ok(s->size == spaces[i].size, "has %" APR_UINT64_T_FMT " positions", spaces[i].size);
        is(s->text, spaces[i].text, "and its text");
        is(relay_listen_addr_print(relay_listen_at(s, 0), pool), spaces[i].first, "the first");
        is(relay_listen_addr_print(relay_listen_at(s, s->size - 1), pool), spaces[i].last,
           "the last");
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        relay_listen_space *s = NULL;
        const char *why = "";

        ok(relay_listen_space_parse(&s, bad[i].text, pool, &why) == RELAY_EINPUT && !s &&
               strstr(why, bad[i].fault),
           "bad %u: %s", i, bad[i].fault);
        if (!strstr(why, bad[i].fault))
            printf("# said: %s\n", why);
        ok(relay_listen_space_parse(&s, bad[i].text, pool, NULL) == RELAY_EINPUT,
           "the same without why");
    }
}

/* Every position has an address of its own, within the space. */
static void test_positions(void)
{
    static unsigned char seen[65536];
    relay_listen_space *s;
    apr_uint64_t pos;
    int different = 1, within = 1;

    relay_listen_space_parse(
        &s, "127.0.0.8/29:3000-3002,127.0.0.1:5000-5009 127.0.0.2/31:3000-3001", pool, NULL);
    ok(s->size == 6 * 3 + 10 + 4, "a space of three blocks");
    for (pos = 0; pos < s->size; pos++) {
        relay_listen_addr a = relay_listen_at(s, pos);
        unsigned key = (a.ip & 15) << 12 | (a.port & 4095);

        different = different && !seen[key]++;
        within = within && relay_listen_contains(s, a);
    }
    ok(different, "no two positions have the same address");
    ok(within, "and it contains them all");
    is(relay_listen_addr_print(relay_listen_at(s, 5), pool), "127.0.0.14:3000",
       "first all addresses of a block");
    is(relay_listen_addr_print(relay_listen_at(s, 6), pool), "127.0.0.9:3001",
       "then the next port");
    is(relay_listen_addr_print(relay_listen_at(s, 18), pool), "127.0.0.1:5000",
       "then the next block");
}

static void test_contains(void)
{
    static const struct {
        const char *addr;
        int in;
    } cases[] = {{"127.1.2.1:5000", 1},        {"127.1.2.254:5001", 1}, {"127.1.2.0:5000", 0},
                 {"127.1.2.255:5000", 0},      {"127.1.3.1:5000", 0},   {"127.1.1.254:5000", 0},
                 {"127.1.2.1:4999", 0},        {"127.1.2.1:5002", 0},   {"10.1.2.1:5000", 0},
                 {"255.255.255.255:65535", 0}, {"0.0.0.0:1", 0}};
    relay_listen_space *s;
    relay_listen_addr addr;
    unsigned i;

    relay_listen_space_parse(&s, "127.1.2.0/24:5000-5001", pool, NULL);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ok(relay_listen_addr_parse(&addr, cases[i].addr) == APR_SUCCESS &&
               relay_listen_contains(s, addr) == cases[i].in,
           "%s is %s", cases[i].addr, cases[i].in ? "in" : "not");
}

static void test_addresses(void)
{
    static const char *const good[] = {"127.77.0.5:10000", "0.0.0.0:1", "255.255.255.255:65535",
                                       "1.2.3.4:80"};
    static const char *const wrong[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:080",
        "127.0.0.1:+80",
        "127.0.0.1:-1",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "127.0.0.1 :80",
        "127.0.0.1:80x",
        "127.0.0:80",
        "127.0.0.0.1:80",
        "127.0.0.256:80",
        "127.00.0.1:80",
        "127.0.0.:80",
        ".127.0.0.1:80",
        "127,0,0,1:80",
        "[127.0.0.1]:80",
        "[::1]:80",
        "::1:80",
        "localhost:80",
        "0x7f.0.0.1:80",
        "2130706433:80",
        "127.0.0.1:99999999999",
        "127.0.0.4294967297:80",
        "127.0.0.1:80\n",
        "-127.0.0.1:80",
    };
    relay_listen_addr addr;
    unsigned i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(relay_listen_addr_parse(&addr, good[i]) == APR_SUCCESS, "%s is an address", good[i]);
        is(relay_listen_addr_print(addr, pool), good[i], "and printed the same");
    }
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ok(relay_listen_addr_parse(&addr, wrong[i]) == RELAY_EINPUT, "wrong address %u", i);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_spaces();
    test_positions();
    test_contains();
    test_addresses();
    apr_terminate();
    return done_testing();
}
