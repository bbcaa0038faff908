/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* fields.c: what a visitor may not say, and what of Connection counts. */
#include "../../mod_relay/request/fields.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <time.h>

static apr_pool_t *pool;

static const char *const reserved[] = {
    "Forwarded",
    "FORWARDED",
    "Forwarded-For",
    "X-Forwarded-For",
    "x_forwarded_for",
    "X-Forwarded_Host",
    "X-FORWARDED",
    "X-Forward-For",
    "X-ForwardedFor",
    "X-Real-IP",
    "X_Real_IP",
    "x-real_ip",
    "True-Client-IP",
    "True_Client_IP",
    "X-Client-IP",
    "X_Client_IP",
    "X-Client_Ip",
    "X-ClientIP",
    "Client-IP",
    "Client_IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "cf_connecting_ipv6",
    "X-Originating-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "Remote-Addr",
    "Remote-User",
    "REMOTE_USER",
    "X-Remote-User",
    "X_REMOTE_GROUPS",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X_Rewrite_Url",
    "Proxy",
    "PROXY",
    "Proxy-Authorization",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "Fastly-Client-IP",
    "X-Host",
    "X-Scheme",
    "Front-End-Https",
    "SSL_CLIENT_VERIFY",
    "X-SSL-Client-DN",
    "X-Client-Cert",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-WEBAUTH-USER",
    "X-Auth-Request-Email",
    "X-authentik-username",
    "Tailscale-User-Login",
    "OIDC_CLAIM_sub",
    "OIDC_access_token",
    "X-ProxyUser-Ip",
    "X-Proxy-User",
    "X-Forwarded-very-very-very-very-very-long-indeed",
    "X-Goog-Authenticated-User-Email",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "X-ARR-ClientCert",
    "X-True-IP",
};
static const char *const free_names[] = {
    "",
    "-",
    "_",
    "Host",
    "Cookie",
    "Authorization",
    "Accept",
    "Connection",
    "Content-Type",
    "Cache-Control",
    "Referer",
    "Range",
    "Pragma",
    "Priority",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "User-Agent",
    "Upgrade",
    "X",
    "X-",
    "X-Requested-With",
    "X-CSRF-Token",
    "X-Auth-Token",
    "X-Auth-User",
    "X-Auth-Key",
    "X-Client-Data",
    "X-Client-Version",
    "X-HTTP-Method-Override",
    "X-Real",
    "X-Forwar",
    "XForwardedFor",
    "Forward",
    "Client",
    "Remote",
    "Sec-Fetch-Mode",
    "Sec-WebSocket-Key",
    "SSL",
    "Destination",
    "Depth",
    "DNT",
    "Via",
    "Prox",
    "Proxyy",
    "Origin",
    "If-None-Match",
    "X Forwarded For",
};

/* {Connection, what remains}; the request has Cookie, X-A, X-Forwarded-For */
static const struct {
    const char *said, *kept;
} connections[] = {
    {"", NULL},
    {"close", "close"},
    {"Keep-Alive", "Keep-Alive"},
    {"Upgrade", "Upgrade"},
    {"keep-alive, Upgrade", "keep-alive, Upgrade"},
    {"Upgrade,HTTP2-Settings", "Upgrade, HTTP2-Settings"},
    {"close, close, CLOSE", "close"},
    {"TE, trailer", "TE, trailer"},
    {"x-a", "x-a"},
    {"X-A, x-a,cookie", "X-A, cookie"},
    {"X-B", NULL},
    {"X-Forwarded-For", NULL},
    {"x_forwarded_for, close", "close"},
    {"X-Forwarded-Proto, X-Real-IP", NULL},
    {" ,\t,, close ,, ", "close"},
    {"closes, keep-aliv, x-ab, x-", NULL},
    {"Close\tX-A", "Close, X-A"},
};

static int unwanted(const char *name)
{
    return *name == 'u';
}

static void test_drop(void)
{
    static const char *const lists[][2] = {{"", ""},      {"a", "a"},        {"u", ""},
                                           {"uu", ""},    {"aub", "ab"},     {"uab", "ab"},
                                           {"abu", "ab"}, {"auubuc", "abc"}, {"abab", "abab"}};
    unsigned i;

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        apr_table_t *t = apr_table_make(pool, 2);
        char left[10] = "";
        const char *at;
        int n;

        for (at = lists[i][0]; *at; at++)
            apr_table_addn(t, apr_pstrmemdup(pool, at, 1), "value");
        n = mod_relay_fields_drop(t, unwanted, pool);
        for (int k = 0; k < apr_table_elts(t)->nelts; k++)
            left[k] = *APR_ARRAY_IDX(apr_table_elts(t), k, apr_table_entry_t).key;
        is(left, lists[i][1], "fields `%s'", lists[i][0]);
        ok(n == (int)(strlen(lists[i][0]) - strlen(left)), "the number is right");
        ok(!apr_table_get(t, "u") && (!strchr(left, 'b') || apr_table_get(t, "b")),
           "the table finds what it has");
    }
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* 30,000 words beside 3,000 fields, all of one first letter: 90 million comparisons, were each
 * looked up in turn. */
static void test_linear(void)
{
    apr_table_t *fields = apr_table_make(pool, 10);
    char *value = apr_palloc(pool, 300001), *to = value;
    apr_pool_t *scratch;
    double began;
    int i;

    for (i = 0; i < 3000; i++)
        apr_table_addn(fields, apr_psprintf(pool, "x%d", i), "y");
    for (i = 0; i < 30000; i++)
        to += sprintf(to, "y%d,", i);
    apr_pool_create(&scratch, pool);
    began = seconds();
    ok(!mod_relay_connection_kept(value, fields, scratch), "30,000 words, none of them a field");
    ok(seconds() - began < 0.2, "that was linear: %.4f s", seconds() - began);
    for (i = 0; i < 3000; i++)
        apr_table_addn(fields, apr_psprintf(pool, "X-Forwarded-%d", i), "y");
    began = seconds();
    ok(mod_relay_fields_drop(fields, mod_relay_field_is_reserved, scratch) == 3000,
       "3,000 fields of 6,000 dropped");
    ok(seconds() - began < 0.05, "that was linear: %.4f s", seconds() - began);
}

int main(void)
{
    apr_table_t *fields;
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        ok(mod_relay_field_is_reserved(reserved[i]), "the relay's to say: %s", reserved[i]);
    for (i = 0; i < sizeof(free_names) / sizeof(free_names[0]); i++)
        ok(!mod_relay_field_is_reserved(free_names[i]), "a visitor's to say: `%s'", free_names[i]);
    fields = apr_table_make(pool, 3);
    apr_table_addn(fields, "Cookie", "a=b");
    apr_table_addn(fields, "X-A", "a");
    apr_table_addn(fields, "X-Forwarded-For", "a");
    for (i = 0; i < sizeof(connections) / sizeof(connections[0]); i++)
        is(mod_relay_connection_kept(connections[i].said, fields, pool), connections[i].kept,
           "Connection: %s", connections[i].said);
    test_drop();
    test_linear();
    apr_terminate();
    return done_testing();
}
