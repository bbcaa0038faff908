/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_service: what is a service, how it is normalised, and how ssh is told of it. */
#include "relay_service.h"
#include "tap.h"

#include <apr_general.h>

static apr_pool_t *pool;

static const struct {
    const char *text, *url, *target, *host;
} good[] = {
    {"80", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
    {"8080", "http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1"},
    {"1", "http://127.0.0.1:1", "127.0.0.1:1", "127.0.0.1"},
    {"65535", "http://127.0.0.1:65535", "127.0.0.1:65535", "127.0.0.1"},
    {"0080", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
    {"http://127.0.0.1", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
    {"http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
    {"http://127.0.0.1/", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
    {"https://192.168.1.9", "https://192.168.1.9", "192.168.1.9:443", "192.168.1.9"},
    {"https://192.168.1.9:8443/", "https://192.168.1.9:8443", "192.168.1.9:8443", "192.168.1.9"},
    {"https://nas:443", "https://nas", "nas:443", "nas"},
    {"http://nas:443", "http://nas:443", "nas:443", "nas"},
    {"HTTP://NAS.Local:81", "http://nas.local:81", "nas.local:81", "nas.local"},
    {"h2c://10.0.0.2:50051", "h2c://10.0.0.2:50051", "10.0.0.2:50051", "10.0.0.2"},
    {"h2c://10.0.0.2", "h2c://10.0.0.2", "10.0.0.2:80", "10.0.0.2"},
    {"tcp://127.0.0.1:22", "tcp://127.0.0.1:22", "127.0.0.1:22", "127.0.0.1"},
    {"http://[::1]", "http://[::1]", "[::1]:80", "::1"},
    {"http://[::1]:8080/", "http://[::1]:8080", "[::1]:8080", "::1"},
    {"https://[FE80::1]", "https://[fe80::1]", "[fe80::1]:443", "fe80::1"},
    {"tcp://[2001:db8::1]:22", "tcp://[2001:db8::1]:22", "[2001:db8::1]:22", "2001:db8::1"},
    {"http://my_nas", "http://my_nas", "my_nas:80", "my_nas"},
    {"http://a-b.c-d", "http://a-b.c-d", "a-b.c-d:80", "a-b.c-d"},
    {"http://1a", "http://1a", "1a:80", "1a"},
    {"http://localhost", "http://localhost", "localhost:80", "localhost"},
};

static const struct {
    const char *text, *fault;
} bad[] = {
    {"", "write a URL"},
    {"0", "from 1 to 65535"},
    {"65536", "from 1 to 65535"},
    {"99999999999999999999", "from 1 to 65535"},
    {"-1", "write a URL"},
    {"+80", "write a URL"},
    {"80 ", "a space"},
    {"80\n", "a space"},
    {"8o", "write a URL"},
    {"80x", "write a URL"},
    {"http", "write a URL"},
    {"javascript:1", "write a URL"},
    {"//x", "write a URL"},
    {"ftp://x", "the scheme must be"},
    {"tcp://x", "tcp:// needs a port"},
    {"http://x:0", "from 1 to 65535"},
    {"http://x:65536", "from 1 to 65535"},
    {"http://x/path", "a path cannot"},
    {"http://u:p@x", "user"},
    {"http://x?q", "query"},
    {"http://x#f", "query"},
    {"http://x y", "a space"},
    {"http://x\n", "a space"},
    {"http://x -R 0.0.0.0:1:x:1", "a space"},
    {"127.0.0.1:80", "write a URL"},
    {"localhost", "write a URL"},
    {"//nas", "write a URL"},
    {"http:/nas", "write a URL"},
    {"http:nas", "write a URL"},
    {"://nas", "the scheme must be"},
    {"ftp://nas", "the scheme must be"},
    {"ssh://nas", "the scheme must be"},
    {"h2://nas", "the scheme must be"},
    {"unix:///run/x", "the scheme must be"},
    {"httpx://nas", "the scheme must be"},
    {"http://", "neither a DNS name"},
    {"http:///", "neither a DNS name"},
    {"http://:80", "neither a DNS name"},
    {"http://nas:", "from 1 to 65535"},
    {"http://nas:0", "from 1 to 65535"},
    {"http://nas:65536", "from 1 to 65535"},
    {"http://nas:8o", "from 1 to 65535"},
    {"http://nas:80:81", "from 1 to 65535"},
    {"http://nas:+80", "from 1 to 65535"},
    {"http://nas:-1", "from 1 to 65535"},
    {"http://nas/x", "a path cannot"},
    {"http://nas//", "a path cannot"},
    {"http://nas/?", "query"},
    {"http://nas?x", "query"},
    {"http://nas#x", "query"},
    {"http://me@nas", "user"},
    {"http://me:pw@nas:80", "user"},
    {"http://nas\\x", "user"},
    {"http://nas x", "a space"},
    {"http://nas\t", "a space"},
    {"http://n\xc3\xa4s", "non-ASCII"},
    {"http://nas\x7f", "a space"},
    {"http://nas%20", "neither a DNS name"},
    {"http://-nas", "neither a DNS name"},
    {"http://nas-", "neither a DNS name"},
    {"http://nas.", "neither a DNS name"},
    {"http://.nas", "neither a DNS name"},
    {"http://a..b", "neither a DNS name"},
    {"http://a-.b", "neither a DNS name"},
    {"http://*", "neither a DNS name"},
    {"http://1.2.3", "neither a DNS name"},
    {"http://256.1.1.1", "neither a DNS name"},
    {"http://1.2.3.4.5", "neither a DNS name"},
    {"http://127.1", "neither a DNS name"},
    {"http://2130706433", "neither a DNS name"},
    {"http://01.2.3.4", "neither a DNS name"},
    {"http://::1", "neither a DNS name"},
    {"http://[::1", "not closed"},
    {"http://[]", "not an IPv6"},
    {"http://[nas]", "not an IPv6"},
    {"http://[127.0.0.1]", "not an IPv6"},
    {"http://[::1]x", "only a port"},
    {"http://[::1]80", "only a port"},
    {"http://[::1]:", "from 1 to 65535"},
    {"http://[fe80::1%eth0]", "not an IPv6"},
    {"tcp://127.0.0.1", "tcp:// needs a port"},
    {"tcp://nas/", "tcp:// needs a port"},
    {"http://nas -R 1:2:3", "a space"},
    {"http://$(id)", "neither a DNS name"},
    {"http://a;b", "neither a DNS name"},
    {"http://\"", "neither a DNS name"},
};

int main(void)
{
    char long_host[400];
    relay_service *sv;
    const char *why;
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        sv = NULL;
        if (!ok(relay_service_parse(&sv, good[i].text, pool, &why) == APR_SUCCESS,
                "%s is a service", good[i].text))
            continue;
        is(sv->url, good[i].url, "its URL");
        is(sv->target, good[i].target, "for ssh -R");
        is(sv->host, good[i].host, "its host");
        ok(strncmp(sv->url, sv->scheme, strlen(sv->scheme)) == 0 &&
               relay_scheme_is_known(sv->scheme),
           "its scheme");
        {
            relay_service *again = NULL;

            ok(relay_service_parse(&again, sv->url, pool, &why) == APR_SUCCESS &&
                   strcmp(again->url, sv->url) == 0 && strcmp(again->target, sv->target) == 0,
               "the URL means itself");
        }
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        relay_service untouched;

        sv = &untouched;
        why = NULL;
        ok(relay_service_parse(&sv, bad[i].text, pool, &why) == RELAY_EINPUT, "bad %u: refused", i);
        if (!ok(why && strstr(why, bad[i].fault), "and the error says: %s", bad[i].fault))
            printf("# said: %s\n", why);
        ok(sv == &untouched, "nothing is given out");
        ok(relay_service_parse(&sv, bad[i].text, pool, NULL) == RELAY_EINPUT,
           "the same without why");
    }
    strcpy(long_host, "http://");
    memset(long_host + 7, 'a', 300);
    long_host[307] = '\0';
    ok(relay_service_parse(&sv, long_host, pool, &why) == RELAY_EINPUT && strstr(why, "too long"),
       "a URL of 307 characters");
    long_host[7 + 64] = '\0';
    ok(relay_service_parse(&sv, long_host, pool, &why) == RELAY_EINPUT, "a label of 64");
    long_host[7 + 63] = '\0';
    ok(relay_service_parse(&sv, long_host, pool, &why) == APR_SUCCESS, "a label of 63");
    ok(relay_scheme_is_web("http") && relay_scheme_is_web("https") && relay_scheme_is_web("h2c"),
       "three schemes are for browsers");
    ok(!relay_scheme_is_web("tcp") && relay_scheme_is_known("tcp"), "tcp is known and is not");
    ok(!relay_scheme_is_known("HTTP") && !relay_scheme_is_known("") && !relay_scheme_is_web("ftp"),
       "others are not known");
    apr_terminate();
    return done_testing();
}
