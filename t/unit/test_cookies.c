/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* cookies.c: which cookies are hidden from whom, and Domain in all its spellings. */
#include "../../mod_relay/request/cookies.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <time.h>

static apr_pool_t *pool;
static apr_array_header_t *names;

/* {what a visitor sends, what the device gets}; hidden are `session`, `login_*` */
static const struct {
    const char *sent, *shown;
} visitors[] = {
    {"", ""},
    {"a=1", "a=1"},
    {"a=1; b=2", "a=1; b=2"},
    {"session", "session"},
    {"session=1", NULL},
    {"a=1; session=2", "a=1"},
    {"session=1; a=2", "a=2"},
    {"a=1; session=2; b=3", "a=1; b=3"},
    {"session=1; session=2", NULL},
    {"a=1;session=2;b=3", "a=1;b=3"},
    {"a=1 ;  session = 2 ;   b=3 ", "a=1 ;   b=3 "},
    {" session=1;a=2", "a=2"},
    {"\tsession=1", NULL},
    {"a=1;\t\v session=2", "a=1"},
    {"Session=1; SESSION=2; sessions=3; xsession=4",
     "Session=1; SESSION=2; sessions=3; xsession=4"},
    {"session.x=1; session-2=2", "session.x=1; session-2=2"},
    {"login=1; login_=2; login_0=3; login_chunks=4; Login_0=5", "login=1; Login_0=5"},
    {"session=", NULL},
    {"a=b; session=x=y; c=d", "a=b; c=d"},
    {"a=session=1", "a=session=1"},
    {"=session=1", "=session=1"},
    /* httpd cuts at commas, too, and in quotes */
    {"a=1, session=2", "a=1"},
    {"a=1,session=2; b=3", "a=1; b=3"},
    {"session=2, a=1", "a=1"},
    {"session=2,3, 4; a=1", "a=1"},
    {"a=2,3, 4; session=1", "a=2,3, 4"},
    {"a=\"x; session=1; y\"; b=2", "a=\"x; y\"; b=2"},
    {"session=\"x\"; a=1", "a=1"},
    {"a=\"session=1\"", "a=\"session=1\""},
    {"$Version=1; session=1; $Path=/; $Domain=x; a=1; $Path=/", "$Version=1; a=1; $Path=/"},
    {"session=1;", NULL},
    {";session=1", NULL},
    {";;a=1;;", ";;a=1;;"},
    {"session=1; flag; a=2", "flag; a=2"},
    {"a=\xff\x01; session=1; b=\x7f", "a=\xff\x01; b=\x7f"},
};

/* {a device's Set-Cookie, what the visitor gets}; NULL: nothing */
static const struct {
    const char *said, *kept;
} devices[] = {
    {"", ""},
    {"a=b", "a=b"},
    {"a=b; Path=/; HttpOnly", "a=b; Path=/; HttpOnly"},
    {"a=b; Domain=x.y", "a=b"},
    {"a=b;domain=x;Path=/", "a=b;Path=/"},
    {"a=b; DOMAIN=x; Secure", "a=b; Secure"},
    {"a=b; dOmAiN=.x", "a=b"},
    {"a=b;\t Domain \t=\tx ; Secure", "a=b; Secure"},
    {"a=b; Domain", "a=b"},
    {"a=b; Domain=", "a=b"},
    {"a=b; Domain=x; Domain=y; domain=z", "a=b"},
    {"a=b; Domain=\"x\"; Secure", "a=b; Secure"},
    {"a=b; \"Domain\"=x", "a=b; \"Domain\"=x"},
    {"a=\"b; Domain=x\"; Secure", "a=\"b; Secure"},
    {"a=b;; Domain=x;;", "a=b;;;"},
    {"a=b; Domain=x;", "a=b;"},
    {";Domain=x", ""},
    {"Domain=x", "Domain=x"},
    {"Domain=x; Domain=y", "Domain=x"},
    {"a=b; Domains=x; Subdomain=y; Doma in=z", "a=b; Domains=x; Subdomain=y"},
    {"a=b; Path=/;Domain=x", "a=b; Path=/"},
    {"a=b; x=Domain=y", "a=b; x=Domain=y"},
    {"a=b;\x0b"
     "Domain=x",
     "a=b"},
    {"a=b; Do\x01main=x", "a=b"},
    {"a=b;\x7f"
     "domain\x1f=x",
     "a=b"},
    {"a=b; Domain=x\x01y", "a=b"},
    {"a=b, c=d; Domain=x", "a=b, c=d"},
    {"a=b; =; Domain==x; Path=/", "a=b; =; Path=/"},
    /* a login's cookie, however a browser would come to send it */
    {"session=1", NULL},
    {" session = 1; Path=/", NULL},
    {"\tsession\t=1", NULL},
    {"Session=1", "Session=1"},
    {"login_0=1; Domain=x", NULL},
    {"session", "session"},
    {"=session=1", NULL},
    {" = session=1", NULL},
    {"==session=1", NULL},
    {"a=b, session=1", NULL},
    {"a,session=1", NULL},
    {"a=b,=session=1; Path=/", NULL},
    {"a=session=1", "a=session=1"},
    {"a=b; session=1", "a=b; session=1"},
};

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *repeated(const char *what, apr_size_t times)
{
    apr_size_t length = strlen(what), i;
    char *text = apr_palloc(pool, length * times + 1);

    for (i = 0; i < times; i++)
        memcpy(text + i * length, what, length);
    text[times * length] = '\0';
    return text;
}

/* A hundred times as much may not cost much more than a hundred times the time: quadratic work
 * would cost 10,000 times. */
static void test_linear(void)
{
    static const char *const pieces[] = {"a=1;",     "session=1;",   "a,",    ", ",
                                         ";domain",  ";domain=x",    ",=",    "=,session",
                                         ";;;;;;;;", "$;session=1;", "      "};
    unsigned i;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        char *much = apr_pstrcat(pool, "a=b;", repeated(pieces[i], 300000), NULL);
        double began = seconds();

        mod_relay_cookies_shown(much, names, pool);
        mod_relay_set_cookie_clean(much, names);
        ok(seconds() - began < 2, "300,000 times `%s': linear, %.3f s", pieces[i],
           seconds() - began);
    }
}

int main(void)
{
    unsigned i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    names = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(names, const char *) = "session";
    APR_ARRAY_PUSH(names, const char *) = "login_*";
    for (i = 0; i < sizeof(visitors) / sizeof(visitors[0]); i++)
        is(mod_relay_cookies_shown(visitors[i].sent, names, pool), visitors[i].shown,
           "visitor %u: %s", i, visitors[i].sent);
    for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        char *value = apr_pstrdup(pool, devices[i].said);
        int goes = mod_relay_set_cookie_clean(value, names);

        is(goes ? value : NULL, devices[i].kept, "device %u: %s", i, devices[i].said);
    }
    ok(mod_relay_cookies_shown(visitors[2].sent, names, pool) == visitors[2].sent,
       "nothing is copied where nothing is hidden");
    test_linear();
    apr_terminate();
    return done_testing();
}
