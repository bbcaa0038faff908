/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * directives.c: each row of directives.def is a command of httpd's with the row's text, is kept
 * where its member is, passes from a server to its virtual hosts, and has its default.
 */
#include "directives.h"
#include "tap.h"

#include <apr_general.h>
#include <apr_strings.h>

/* ---- what httpd would have */

module AP_MODULE_DECLARE_DATA relay_module;

static char logged[512];

void ap_log_error_(const char *file, int line, int module_index, int level, apr_status_t status,
                   const server_rec *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(logged, sizeof(logged), fmt, ap);
    va_end(ap);
}

char *ap_server_root_relative(apr_pool_t *p, const char *file)
{
    return apr_pstrcat(p, *file == '/' ? "" : "/root/", file, NULL);
}

/* ---- the test */

static apr_pool_t *pool;

/* Values of each kind, and how a member of that kind reads. */
#define VALUE_flag(n) ((n) ? "on" : "off")
#define VALUE_number(n) ((n) ? "7" : "9")
#define VALUE_part(n) ((n) ? "7" : "9%")
#define VALUE_span(n) ((n) ? "7s" : "9s")
#define VALUE_path(n) ((n) ? "/seven" : "nine")
#define VALUE_names(n) ((n) ? "seven" : "nine*")

static const char *show_flag(mod_relay_flag value)
{
    return value < 0 ? "unset" : value ? "on" : "off";
}

static const char *show_number(mod_relay_number value)
{
    return value < 0 ? "unset" : apr_itoa(pool, value);
}

static const char *show_part(mod_relay_part value)
{
    return value.number >= 0    ? apr_itoa(pool, value.number)
           : value.percent >= 0 ? apr_psprintf(pool, "%d%%", value.percent)
                                : "unset";
}

static const char *show_span(mod_relay_span value)
{
    return value < 0 ? "unset" : apr_psprintf(pool, "%ds", (int)apr_time_sec(value));
}

static const char *show_path(mod_relay_path value)
{
    return !value ? "unset" : strncmp(value, "/root/", 6) == 0 ? value + 6 : value;
}

static const char *show_names(mod_relay_names value)
{
    return value ? apr_array_pstrcat(pool, value, ' ') : "unset";
}

static const command_rec *command_of(const char *name)
{
    const command_rec *cmd = mod_relay_directives;

    while (cmd->name && strcmp(cmd->name, name))
        cmd++;
    return cmd->name ? cmd : NULL;
}

/* A server whose configuration has this directive. value NULL: has it not */
static mod_relay_server *configured(const char *name, const char *value)
{
    mod_relay_server *conf = mod_relay_server_create(pool, NULL);
    void *vector[] = {conf};
    server_rec s = {.module_config = (ap_conf_vector_t *)vector};
    const command_rec *cmd = command_of(name);
    cmd_parms parms = {.pool = pool, .server = &s, .cmd = cmd, .info = cmd ? cmd->cmd_data : NULL};
    const char *fault = NULL;

    if (!value || !cmd)
        return conf;
    fault = cmd->args_how == FLAG ? cmd->func.flag(&parms, NULL, strcmp(value, "on") == 0)
                                  : cmd->func.take1(&parms, NULL, value);
    ok(!fault, "%s %s is taken", name, value);
    return conf;
}

static mod_relay_server *merged(const char *name, const char *base, const char *add)
{
    return mod_relay_server_merge(pool, configured(name, base), configured(name, add));
}

/* ---- values, good and bad. `%s' in a fault is the directive's name */

static const char span_names[] = "RelayCacheTTL RelayStaleMax RelayBackendTimeout "
                                 "RelayStreamTimeout RelayBackendConnectTimeout RelayBackendIdle";

static const struct {
    const char *names, *value;
    const char *fault; /* NULL: the value is taken */
} values[] = {
    {span_names, "7s", NULL},
    {span_names, "3650d", NULL},
    {span_names, "7", "%s: `7' is not a time span: write a whole number and a unit, like 90s, 15m"},
    {span_names, "-7s", "%s: `-7s' is not a time span"},
    {span_names, "7 s", "%s: `7 s' is not a time span"},
    {span_names, "1.5s", "%s: `1.5s' is not a time span"},
    {span_names, "s", "%s: `s' is not a time span"},
    {span_names, "7sec", "%s: `7sec' is not a time span"},
    {span_names, "7S", "%s: `7S' is not a time span"},
    {span_names, "4015d", "%s: `4015d' is longer than ten years"},
    {"RelayStaleMax", "0s", NULL},
    {"RelayCacheTTL RelayBackendTimeout RelayStreamTimeout RelayBackendConnectTimeout "
     "RelayBackendIdle",
     "0s", "%s must be longer than 0"},
    {"RelayHideCookies", "a", NULL},
    {"RelayHideCookies", "b_*", NULL},
    {"RelayHideCookies", "__Host-c", NULL},
    {"RelayHideCookies", "a=b", "%s: `a=b' is no name of a cookie: give names, which may end in"},
    {"RelayHideCookies", "a b", "%s: `a b' is no name of a cookie"},
    {"RelayHideCookies", "a;b", "%s: `a;b' is no name of a cookie"},
    {"RelayHideCookies", "a,b", "%s: `a,b' is no name of a cookie"},
    {"RelayTunnelThreads", "0", NULL},
    {"RelayTunnelThreads", "1", NULL},
    {"RelayTunnelThreads", "100000", NULL},
    {"RelayTunnelThreads", "1%", NULL},
    {"RelayTunnelThreads", "100%", NULL},
#define NO_PART \
    "neither a number from 0 (no limit) to 100000 nor a share of MaxRequestWorkers from 1% to " \
    "100%"
    {"RelayTunnelThreads", "-1", NO_PART},
    {"RelayTunnelThreads", "100001", NO_PART},
    {"RelayTunnelThreads", "0%", NO_PART},
    {"RelayTunnelThreads", "101%", NO_PART},
    {"RelayTunnelThreads", "25 %", NO_PART},
    {"RelayTunnelThreads", "%", NO_PART},
    {"RelayTunnelThreads", "a", NO_PART},
    {"RelayTunnelThreads", "10x", NO_PART},
    {"RelayTunnelThreads", "10%%", NO_PART},
    {"RelayTunnelThreads", "1.5", NO_PART},
    {"RelayTunnelThreads", " ", NO_PART},
    {"RelayTunnelThreads", "99999999999999999999", NO_PART},
    {"RelayTunnelThreads", "off", NO_PART},
    {"RelaySSHWaitMax", "1", NULL},
    {"RelaySSHWaitMax", "10000", NULL},
    {"RelaySSHWaitMax", "0", "is not a number from 1 to 10000"},
    {"RelaySSHWaitMax", "10001", "is not a number from 1 to 10000"},
    {"RelaySSHWaitMax", "x", "is not a number from 1 to 10000"},
    {"RelaySSHWaitMax", "1%", "is not a number from 1 to 10000"},
    {"RelaySSHWaitMax", " ", "is not a number from 1 to 10000"},
    {"RelaySSHTLSMax", "0", NULL},
    {"RelaySSHTLSMax", "10000", NULL},
    {"RelaySSHTLSMax", "-1", "is not a number from 0 (none) to 10000"},
    {"RelaySSHTLSMax", "10001", "is not a number from 0 (none) to 10000"},
};

/* What the directive says of a value; NULL: it takes it. */
static const char *fault_of(const char *name, const char *value)
{
    mod_relay_server *conf = mod_relay_server_create(pool, NULL);
    void *vector[] = {conf};
    server_rec s = {.module_config = (ap_conf_vector_t *)vector};
    const command_rec *cmd = command_of(name);
    cmd_parms parms = {.pool = pool, .server = &s, .cmd = cmd, .info = cmd->cmd_data};

    return cmd->func.take1(&parms, NULL, value);
}

static void test_value(const char *name, const char *value, const char *expected)
{
    const char *fault = fault_of(name, value), *quoted;

    if (!expected) {
        is(fault, NULL, "%s `%s' is taken", name, value);
        return;
    }
    ok(fault != NULL, "%s `%s' is refused", name, value);
    fault = fault ? fault : "";
    if (strncmp(expected, "%s", 2) == 0) {
        expected = apr_pstrcat(pool, name, expected + 2, NULL);
        ok(strncmp(fault, expected, strlen(expected)) == 0, "and the error begins: %s", expected);
    }
    else {
        quoted = apr_psprintf(pool, "%s: `%s' is ", name, value);
        ok(strncmp(fault, quoted, strlen(quoted)) == 0, "and the error begins with both");
        ok(strstr(fault, expected) != NULL, "and says: %s", expected);
    }
}

static void test_values(void)
{
    char *names, *rest, *name;
    unsigned i;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        names = apr_pstrdup(pool, values[i].names);
        for (name = apr_strtok(names, " ", &rest); name; name = apr_strtok(NULL, " ", &rest))
            test_value(name, values[i].value, values[i].fault);
    }
    for (const command_rec *cmd = mod_relay_directives; cmd->name; cmd++)
        ok(cmd->req_override == RSRC_CONF, "%s stands in no directory", cmd->name);
}

#define DAY apr_time_from_sec(86400)

static mod_relay_server *completed(const char *name)
{
    mod_relay_server *conf = configured(name, NULL);

    ok(mod_relay_server_complete(conf, DAY, "relay.conf", NULL, pool), "%s: completed", name);
    return conf;
}

/* What stands in the default's place of a row, as show_KIND() has it. */
static const char *plain(const char *text)
{
    return strcmp(text, "5m") == 0    ? "300s"
           : strcmp(text, "10m") == 0 ? "600s"
           : strcmp(text, "1d") == 0  ? "86400s"
                                      : text;
}

static void test_rows(void)
{
#define DEFAULT(value) plain(value)
#define WITHOUT(words) "unset"
#define DIRECTIVE(name, syntax, kind, member, fallback, ...) \
    is(show_##kind(configured(#name, NULL)->member), "unset", #name " is unset at first"); \
    is(show_##kind(configured(#name, VALUE_##kind(1))->member), VALUE_##kind(1), \
       #name " sets its member"); \
    is(show_##kind(merged(#name, VALUE_##kind(1), NULL)->member), VALUE_##kind(1), \
       #name ": a virtual host has what the server has"); \
    is(show_##kind(merged(#name, NULL, VALUE_##kind(1))->member), VALUE_##kind(1), \
       #name ": a virtual host has its own"); \
    is(show_##kind(merged(#name, NULL, NULL)->member), "unset", #name ": neither has one"); \
    is(show_##kind(merged(#name, VALUE_##kind(1), VALUE_##kind(0))->member), \
       strcmp(#kind, "names") ? VALUE_##kind(0) : "seven nine*", \
       #name ": a virtual host's own goes first, or is added"); \
    is(show_##kind(completed(#name)->member), fallback, #name " has its default");
#include "../../mod_relay/directives.def"
}

static void test_texts(void)
{
    int rows = 0;
    const command_rec *cmd;

#define DEFAULT(value) value
#define WITHOUT(words) words
#define BRIEF(text) text
#define DIRECTIVE(name, syntax, kind, member, fallback, limits, brief, ...) \
    rows++; \
    is(command_of(#name) ? command_of(#name)->errmsg : NULL, \
       syntax "; default " fallback ". " brief, #name " has its text");
#include "../../mod_relay/directives.def"
    for (cmd = mod_relay_directives; cmd->name; cmd++)
        rows--;
    ok(rows == 0, "there is no other directive");
}

static void test_cooldown(void)
{
    static const struct {
        const char *ttl, *stale;
        int cooldown;
        int good;
        const char *ttl_after, *stale_after;
    } cases[] = {
        {NULL, NULL, 900, 1, "60s", "300s"},      {NULL, NULL, 600, 1, "60s", "300s"},
        {NULL, NULL, 100, 1, "50s", "50s"},       {NULL, NULL, 2, 1, "1s", "1s"},
        {"899s", "899s", 900, 1, "899s", "899s"}, {"900s", NULL, 900, 0, NULL, NULL},
        {NULL, "900s", 900, 0, NULL, NULL},       {NULL, "0s", 900, 1, "60s", "0s"},
        {"15m", NULL, 900, 0, NULL, NULL},        {NULL, "15m", 900, 0, NULL, NULL},
        {"1h", NULL, 900, 0, NULL, NULL},         {NULL, "1h", 900, 0, NULL, NULL},
        {"30d", NULL, 900, 0, NULL, NULL},        {NULL, "30d", 900, 0, NULL, NULL},
        {"14m", NULL, 900, 1, "840s", "300s"},    {NULL, "14m", 900, 1, "60s", "840s"},
    };
    unsigned i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mod_relay_server *conf =
            mod_relay_server_merge(pool, configured("RelayCacheTTL", cases[i].ttl),
                                   configured("RelayStaleMax", cases[i].stale));
        int good;

        logged[0] = '\0';
        good = mod_relay_server_complete(conf, apr_time_from_sec(cases[i].cooldown), "relay.conf",
                                         NULL, pool);
        ok(good == cases[i].good, "case %u: %s", i, cases[i].good ? "taken" : "refused");
        ok((strstr(logged, "RLY104") != NULL) == !cases[i].good, "and the log says why");
        if (!cases[i].good)
            continue;
        is(show_span(conf->cache_ttl), cases[i].ttl_after, "RelayCacheTTL");
        is(show_span(conf->stale_max), cases[i].stale_after, "RelayStaleMax");
    }
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    relay_module.module_index = 0;
    test_rows();
    test_texts();
    test_values();
    test_cooldown();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
