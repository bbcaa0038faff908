/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* addresses.c, hosts.c: what means the device itself, in every spelling, and what does not. */
#include "../../mod_relay/answer/addresses.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <time.h>

#define PUBLIC "https://cam.relay.example.com:8443"

static apr_pool_t *pool;

/* The visitor asked for PUBLIC; the device is http://nas.lan:8080. */
static const char *const own_hosts[] = {"nas.lan:8080", "[2001:db8::7]", "203.0.113.5:81", NULL};
static mod_relay_addresses usual = {"https",
                                    "cam.relay.example.com:8443",
                                    "cam.relay.example.com",
                                    "relay.example.com",
                                    "http",
                                    own_hosts,
                                    0};

static const char *read_with(mod_relay_addresses with, mod_relay_field field, const char *value)
{
    with.room = MOD_RELAY_ADDRESSES_ROOM;
    return mod_relay_addresses_public(&with, field, value, pool);
}

static const char *url(const char *value)
{
    return read_with(usual, MOD_RELAY_FIELD_URL, value);
}

/* Hosts that are the device's own. */
static const char *const own[] = {
    "nas.lan",
    "NAS.Lan",
    "nas.lan.",
    "n%61s.lan",
    "na\ts.lan",
    "[2001:db8::7]",
    "[2001:DB8:0:0::0007]",
    "203.0.113.5",
    "0xcb.0.0x7105",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.1",
    "192.168.1.9",
    "192.168.1.9.",
    "192.168.265",
    "0300.0250.1.9",
    "0xc0.0xa8.1.9",
    "0xc0a80109",
    "3232235785",
    "%31%39%32.168.1.9",
    "192%2e168.1.9",
    "100.64.0.1",
    "100.127.255.1",
    "169.254.1.1",
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "0x7f.1",
    "2130706433",
    "017700000001",
    "0.0.0.0",
    "0",
    "0x",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[fe80::1]",
    "[FE80::1%25eth0]",
    "[fe80::1%eth0]",
    "[febf::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[::ffff:192.168.1.9]",
    "[::ffff:c0a8:109]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "nas.localhost",
    "a.b.localhost",
    "nas.local",
    "NAS-2.Local.",
};

/* Hosts that are somebody else's, and what is no host. */
static const char *const others[] = {
    "evil",
    "evil.com",
    "nas",
    "xnas.lan",
    "nas.lan.evil.com",
    "lan",
    "local",
    ".local",
    "adfs.company.local",
    "localhost.evil.com",
    "notlocalhost",
    "localhost..",
    "relay.example.com",
    "dog.relay.example.com",
    "x.cam.relay.example.com",
    "xcam.relay.example.com",
    "cam.relay.example.com.evil.com",
    "relay.example.com.",
    "example.com",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "126.0.0.1",
    "128.0.0.1",
    "169.253.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.1.1",
    "192.169.1.1",
    "203.0.113.6",
    "134744072",
    "192.168.1.9.evil.com",
    "10.0.0.1.nip.io",
    "10-0-0-1.nip.io",
    "0x7f.1.evil",
    "1e3",
    "10.0.0.256",
    "10.256.1",
    "10.0.0.0.1",
    "10..1",
    "10.0.0.08",
    "4294967296",
    "99999999999999999999",
    "[2001:db8::8]",
    "[2606:4700::1]",
    "[::2]",
    "[fbff::1]",
    "[fe00::1]",
    "[ff02::1]",
    "[::ffff:8.8.8.8]",
    "[::1",
    "::1",
    "[]",
    "[",
    "]",
    "[::1]x",
    "[::1][::1]",
    "[192.168.1.9]",
    "%",
    "%3",
    "%zz",
    "192.168.1.9%00",
    "192.168.1.9%2fevil",
    "192.168.1.9%23",
    "192.168.1.9%40evil",
    "10.0.0.1 x",
    "10.0.0.1\x7f",
    "10.0\x01.0.1",
    "10.0.0.1\xe3\x80\x82",
    "10.0.0.1^",
    "|10.0.0.1",
    "10.0.0.1<",
    "",
    ".",
    "evil.com,192.168.1.9",
};

/* How a URL is written around a host, and the path that is meant; NULL for no change. */
static const struct {
    const char *before, *after, *path;
} around[] = {
    {"http://", "/x", "/x"},
    {"https://", "/x?a=b#c", "/x?a=b#c"},
    {"HTTP://", "/", "/"},
    {"hTTps://", "", "/"},
    {"http://", ":8080/x", "/x"},
    {"https://", ":8443", "/"},
    {"http://", ":/x", "/x"},
    {"http://", ":65535?q=1", "/?q=1"},
    {"http://", "#f", "/#f"},
    {"http://", "?u=http://192.168.1.9/", "/?u=http://192.168.1.9/"},
    {"//", "/x", "/x"},
    {"///", "/x", "/x"},
    {"\\\\", "\\x\\y", "/x\\y"},
    {"/\\", "/x", "/x"},
    {"\\/", ":81/x", "/x"},
    {"/\t/", "/x", "/x"},
    {"http:\\\\", "\\x", "/x"},
    {"http:/\\", "/x", "/x"},
    {"https:", "/x", "/x"},
    {"https:/", "/x", "/x"},
    {"http:////", "/x", "/x"},
    {"h\ttt\rp:\n//", "/x", "/x"},
    {" \x1f http://", "/x", "/x"},
    {"http://admin@", "/x", "/x"},
    {"http://admin:p@ss@", ":80/x", "/x"},
    {"http://cam.relay.example.com@", "/x", "/x"},
    {"http://evil.com:80@", "/x", "/x"},
    {"//@", "/x", "/x"},
    {"http://", "/a%2Fb//c/../d;e=%5c?%00", "/a%2Fb//c/../d;e=%5c?%00"},
    {"http://", "/@evil.com/", "/@evil.com/"},
    {"http://", "\\@evil.com/", "/@evil.com/"},
    {"http://", "//evil.com/x", "/.//evil.com/x"},
    {"http://", "/\\evil.com/x", "/./\\evil.com/x"},
    {"http://", "\\\\evil.com/x", "/./\\evil.com/x"},
    {"http://", "/\t/evil.com/x", "/./\t/evil.com/x"},
    {"http://", "/./x", "/./x"},
    {"http://", "/x y ", "/x y "},
    {"wss://", "/x", PUBLIC},
    {"WS://", ":81", PUBLIC},
};

/* Around a host that is the device's these mean another site, or nothing. */
static const struct {
    const char *before, *after;
} foreign[] = {
    {"http://", "@evil.com/"},
    {"//", "@evil.com/"},
    {"http://", ":80@evil.com/"},
    {"http://", "%40evil.com/"},
    {"http://evil.com/", "/"},
    {"http://evil.com\\@", "/"},
    {"http://evil.com?@", "/"},
    {"http://evil.com#@", "/"},
    {"http://evil.com;@x/", "/"},
    {"http://", ".evil.com/"},
    {"http://", ":99999/"},
    {"http://", ":x/"},
    {"http://", ":-1/"},
    {"http://", ":80:80/"},
    {"ftp://", "/x"},
    {"file://", "/x"},
    {"mailto:x@", ""},
    {"javascript://", "/%0aalert(1)"},
    {"data:text/html,http://", "/"},
    {"x-app://", "/"},
    {"view-source:http://", "/"},
    {"httpx://", "/"},
    {"1http://", "/"},
    {"%68ttp://", "/"},
    {"?", "/"},
    {"#//", "/"},
    {"./", "/"},
    {"/", "/"},
    {"/x//", "/"},
    {"x/http://", "/"},
    {"http//", "/"},
};

/* {value, what becomes of it}, NULL: it stays */
static const struct {
    const char *value, *becomes;
} values[] = {
    {"", NULL},
    {" ", NULL},
    {"/", NULL},
    {"/x", NULL},
    {"x/y", NULL},
    {"?q", NULL},
    {"#f", NULL},
    {".", NULL},
    {"\\x", NULL},
    {"//", NULL},
    {"//evil", NULL},
    {"/\\evil", NULL},
    {"\\\\evil\\x", NULL},
    {"https:evil", NULL},
    {"https:/evil", NULL},
    {"https:evil.com/x", NULL},
    {"http://", NULL},
    {"http:", NULL},
    {"https:", NULL},
    {"https:x", NULL},
    {":", NULL},
    {":80/", NULL},
    {"a:b", NULL},
    {"about:blank", NULL},
    {"tel:+491234", NULL},
    {"urn:uuid:1", NULL},
    /* the page has http: for the device: a path, and for the visitor a host */
    {"http:x", "./x"},
    {"http:/x", "/x"},
    {"http:\\x", "/x"},
    {"http:?q", "?q"},
    {"http:#f", "#f"},
    {"http:evil.com/x", "./evil.com/x"},
    {"http:javascript:alert(1)", "./javascript:alert(1)"},
    {"HTTP:\t/x", "/x"},
    /* the public name */
    {PUBLIC, NULL},
    {PUBLIC "/", NULL},
    {PUBLIC "/x?a=b#c", NULL},
    {"HTTPS://CAM.relay.example.com:8443/X", NULL},
    {" " PUBLIC "/x", NULL},
    {"//cam.relay.example.com:8443/x", NULL},
    {"wss://cam.relay.example.com:8443/x", NULL},
    {PUBLIC "//evil.com", NULL},
    {"http://cam.relay.example.com/x", PUBLIC "/x"},
    {"http://cam.relay.example.com:80", PUBLIC},
    {"http://cam.relay.example.com:8443/x", PUBLIC "/x"},
    {"https://cam.relay.example.com/x", PUBLIC "/x"},
    {"https://cam.relay.example.com:443?x", PUBLIC "?x"},
    {"https://cam.relay.example.com:5001/x#y", PUBLIC "/x#y"},
    {"https://cam.relay.example.com.:8443/x", PUBLIC "/x"},
    {"https://Cam.Relay.Example.Com./x", PUBLIC "/x"},
    {"https://c%61m.relay.example.com:8443/x", PUBLIC "/x"},
    {"https://admin:x@cam.relay.example.com:8443/x", PUBLIC "/x"},
    {"//cam.relay.example.com/x", PUBLIC "/x"},
    {"\\\\cam.relay.example.com\\x", PUBLIC "/x"},
    {"https:\\\\cam.relay.example.com:8443\\x", PUBLIC "/x"},
    {PUBLIC "\\x", PUBLIC "/x"},
    {"http://cam.relay.example.com//evil.com", PUBLIC "//evil.com"},
    {"ws://cam.relay.example.com/x", "wss://cam.relay.example.com:8443/x"},
    {"wss://cam.relay.example.com/", "wss://cam.relay.example.com:8443/"},
    {"http://cam.relay.example.com@evil.com/", NULL},
    {"http://cam.relay.example.com:8443@evil.com/", NULL},
    {"http://cam.relay.example.com\\@evil.com/", PUBLIC "/@evil.com/"},
    {"ftp://cam.relay.example.com/", NULL},
};

static const struct {
    mod_relay_field field;
    const char *value, *becomes;
} fields[] = {
    {MOD_RELAY_FIELD_REFRESH, "5", NULL},
    {MOD_RELAY_FIELD_REFRESH, "", NULL},
    {MOD_RELAY_FIELD_REFRESH, "0; url=/x", NULL},
    {MOD_RELAY_FIELD_REFRESH, "0; url=http://evil.com/?http://10.0.0.1/", NULL},
    {MOD_RELAY_FIELD_REFRESH, "http://10.0.0.1/", NULL},
    {MOD_RELAY_FIELD_REFRESH, "x; url=http://10.0.0.1/", NULL},
    {MOD_RELAY_FIELD_REFRESH, "5x; url=http://10.0.0.1/", NULL},
    {MOD_RELAY_FIELD_REFRESH, "5; url='http://evil.com/' http://10.0.0.1/", NULL},
    {MOD_RELAY_FIELD_REFRESH, "5; url=", NULL},
    {MOD_RELAY_FIELD_REFRESH, "5; url='", NULL},
    {MOD_RELAY_FIELD_REFRESH, "5; url=http://10.0.0.1/x", "5; url=/x"},
    {MOD_RELAY_FIELD_REFRESH, "0;URL=http://nas.lan:8080/x?a=;b", "0;URL=/x?a=;b"},
    {MOD_RELAY_FIELD_REFRESH, " 1.5 , Url \t=  'http://10.0.0.1/x' y", " 1.5 , Url \t=  '/x' y"},
    {MOD_RELAY_FIELD_REFRESH, "5;url=\"//10.0.0.1/x\"", "5;url=\"/x\""},
    {MOD_RELAY_FIELD_REFRESH, "5;url=\"//10.0.0.1/x", "5;url=\"/x"},
    {MOD_RELAY_FIELD_REFRESH, "5 url=http://10.0.0.1", "5 url=/"},
    {MOD_RELAY_FIELD_REFRESH, "5;http://10.0.0.1/x", "5;/x"},
    {MOD_RELAY_FIELD_REFRESH, "5;'http://10.0.0.1/x'", "5;'/x'"},
    {MOD_RELAY_FIELD_REFRESH, ".5;url=http://10.0.0.1/x", ".5;url=/x"},
    {MOD_RELAY_FIELD_REFRESH, "5;url=http://cam.relay.example.com/x", "5;url=" PUBLIC "/x"},
    {MOD_RELAY_FIELD_LINK, "", NULL},
    {MOD_RELAY_FIELD_LINK, "<", NULL},
    {MOD_RELAY_FIELD_LINK, "</x>; rel=next", NULL},
    {MOD_RELAY_FIELD_LINK, "<http://10.0.0.1/x", NULL},
    {MOD_RELAY_FIELD_LINK, "http://10.0.0.1/x", NULL},
    {MOD_RELAY_FIELD_LINK, "<http://evil.com/>; title=\"a, <http://10.0.0.1/>\"", NULL},
    {MOD_RELAY_FIELD_LINK, "<http://evil.com/>; title=\"\\\", <http://10.0.0.1/>\"", NULL},
    {MOD_RELAY_FIELD_LINK, "<http://evil.com/,<http://10.0.0.1/>", NULL},
    {MOD_RELAY_FIELD_LINK, "<http://10.0.0.1/x>; rel=next", "</x>; rel=next"},
    {MOD_RELAY_FIELD_LINK, "<http://10.0.0.1/x,y;z>;rel=a,<//10.0.0.1>;rel=b,",
     "</x,y;z>;rel=a,</>;rel=b,"},
    {MOD_RELAY_FIELD_LINK, " ,, < http://nas.lan/a >;x=\"y,\\\"\" , <https://evil.com/>, <//0/b>",
     " ,, </a >;x=\"y,\\\"\" , <https://evil.com/>, </b>"},
    {MOD_RELAY_FIELD_LINK, "junk, <http://10.0.0.1/x>", "junk, </x>"},
    {MOD_RELAY_FIELD_LINK, "<http://cam.relay.example.com/a>, <//cam.relay.example.com/b>",
     "<" PUBLIC "/a>, <" PUBLIC "/b>"},
    {MOD_RELAY_FIELD_LINK, "<//10.0.0.1//evil>", "</.//evil>"},
};

static const struct {
    const char *name;
    mod_relay_field field;
} names[] = {
    {"Location", MOD_RELAY_FIELD_URL},         {"LOCATION", MOD_RELAY_FIELD_URL},
    {"content-location", MOD_RELAY_FIELD_URL}, {"Destination", MOD_RELAY_FIELD_URL},
    {"refresh", MOD_RELAY_FIELD_REFRESH},      {"Link", MOD_RELAY_FIELD_LINK},
    {"Locations", MOD_RELAY_FIELD_OTHER},      {"Locatio", MOD_RELAY_FIELD_OTHER},
    {"Links", MOD_RELAY_FIELD_OTHER},          {"X-Location", MOD_RELAY_FIELD_OTHER},
    {"Content-Type", MOD_RELAY_FIELD_OTHER},   {"", MOD_RELAY_FIELD_OTHER},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A value, and what becomes of it; a value that stays is not copied. */
static int becomes(const char *value, const char *expected)
{
    const char *got = url(value);

    if (expected ? strcmp(got, expected) == 0 : got == value)
        return 1;
    printf("# `%s'\n# got:      `%s'\n# expected: `%s'\n", value, got, expected ? expected : value);
    return 0;
}

static void test_hosts(void)
{
    unsigned i, k;
    int right;

    for (i = 0; i < COUNT(own); i++) {
        for (k = 0, right = 1; k < COUNT(around); k++) {
            const char *path = around[k].path;

            if (strcmp(path, PUBLIC) == 0)
                path = apr_pstrcat(pool, "wss", &PUBLIC[5], strchr(around[k].after, '/'), NULL);
            right &=
                becomes(apr_pstrcat(pool, around[k].before, own[i], around[k].after, NULL), path);
        }
        ok(right, "`%s' is the device's, in %u URLs", own[i], (unsigned)COUNT(around));
        for (k = 0, right = 1; k < COUNT(foreign); k++)
            right &=
                becomes(apr_pstrcat(pool, foreign[k].before, own[i], foreign[k].after, NULL), NULL);
        ok(right, "`%s' is not meant in %u others", own[i], (unsigned)COUNT(foreign));
    }
    for (i = 0; i < COUNT(others); i++) {
        for (k = 0, right = 1; k < COUNT(around);
             k++) /* nothing behind slashes: the host would follow */
            if (*others[i] || !strchr(around[k].after, '@'))
                right &= becomes(
                    apr_pstrcat(pool, around[k].before, others[i], around[k].after, NULL), NULL);
        ok(right, "`%s' is somebody else's", others[i]);
    }
}

/* Other visitors, other devices. */
static void test_ways(void)
{
    mod_relay_addresses plain = usual, tls = usual;

    plain.scheme = "http";
    plain.authority = plain.name;
    is(read_with(plain, MOD_RELAY_FIELD_URL, "http://cam.relay.example.com/x"),
       "http://cam.relay.example.com/x", "a visitor by http stays there");
    is(read_with(plain, MOD_RELAY_FIELD_URL, "https://cam.relay.example.com/x"),
       "http://cam.relay.example.com/x", "and is sent back there");
    is(read_with(plain, MOD_RELAY_FIELD_URL, "ws://10.0.0.1/x"), "ws://cam.relay.example.com/x",
       "with his WebSockets");
    is(read_with(plain, MOD_RELAY_FIELD_URL, "http:x"), "http:x", "`http:x' is a path there, too");
    tls.device_scheme = "https";
    is(read_with(tls, MOD_RELAY_FIELD_URL, "https:x"), "https:x", "`https:x' is a path for https");
    is(read_with(tls, MOD_RELAY_FIELD_URL, "http:evil/x"), "http:evil/x",
       "`http:evil' is a host then");
    is(read_with(tls, MOD_RELAY_FIELD_URL, "http:10.0.0.1/x"), "/x", "or the device's own");
    is(read_with(tls, MOD_RELAY_FIELD_URL, "https:10.0.0.1/x"), "https:10.0.0.1/x",
       "and here a path");
}

/* Quadratic work on a megabyte would take minutes. */
static void test_bounds(void)
{
    static const char *const pieces[] = {"<//0>,",  "<//0//>,", "<a:",     "<http://x@", "\"\\,<",
                                         "<//%30>", "//0@",     "http://", "\t/\t//0\\", "<,\","};
    mod_relay_addresses a = usual;
    unsigned i, k;

    for (i = 0; i < COUNT(pieces); i++) {
        apr_size_t length = strlen(pieces[i]);
        char *much = apr_palloc(pool, 1000000 + 1);
        clock_t began;

        for (k = 0; k < 1000000; k++)
            much[k] = pieces[i][k % length];
        much[k] = '\0';
        began = clock();
        url(much);
        read_with(usual, MOD_RELAY_FIELD_LINK, much);
        read_with(usual, MOD_RELAY_FIELD_REFRESH, apr_pstrcat(pool, "5;url=", much, NULL));
        ok(clock() - began < 5 * CLOCKS_PER_SEC, "a megabyte of `%s': linear", pieces[i]);
    }
    a.room = 70;
    is(mod_relay_addresses_public(&a, MOD_RELAY_FIELD_LINK, "<ws://0>", pool),
       "<wss://cam.relay.example.com:8443>", "a value may grow");
    is(mod_relay_addresses_public(&a, MOD_RELAY_FIELD_LINK, "<ws://0>,<ws://0>", pool),
       "<ws://0>,<ws://0>", "but all together by no more than there is room");
    is(mod_relay_addresses_public(&a, MOD_RELAY_FIELD_LINK, "<//0/x>", pool), "</x>",
       "and those that shrink go on");
}

int main(void)
{
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_hosts();
    for (i = 0; i < COUNT(values); i++)
        ok(becomes(values[i].value, values[i].becomes), "%u: `%s'", i, values[i].value);
    for (i = 0; i < COUNT(fields); i++) {
        const char *got = read_with(usual, fields[i].field, fields[i].value);

        is(got, fields[i].becomes ? fields[i].becomes : fields[i].value, "field %u: %s", i,
           fields[i].value);
        ok(fields[i].becomes || got == fields[i].value, "no copy of what stays");
    }
    for (i = 0; i < COUNT(names); i++)
        ok(mod_relay_field_of(names[i].name) == names[i].field, "the field `%s'", names[i].name);
    test_ways();
    test_bounds();
    apr_terminate();
    return done_testing();
}
