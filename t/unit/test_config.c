/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* relay_config: relay.conf's defaults, values and errors. */
#include "relay_config.h"
#include "tap.h"

#include <apr_general.h>
#include <stdlib.h>
#include <unistd.h>

#define BASE "[relay]\nname = relay1\ndomain = relay.example.com\n"
#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10

static apr_pool_t *pool;
static char path[] = "/tmp/test_config.XXXXXX";

static apr_status_t load_bytes(relay_config **cfg, const char *text, size_t len, const char **why)
{
    FILE *f = fopen(path, "w");
    size_t written = f ? fwrite(text, 1, len, f) : 0;

    if (!f || fclose(f) || written != len)
        perror(path);
    *cfg = NULL;
    *why = "";
    return relay_config_load(cfg, path, NULL, pool, why);
}

static apr_status_t load(relay_config **cfg, const char *text, const char **why)
{
    return load_bytes(cfg, text, strlen(text), why);
}

static void test_defaults(void)
{
    relay_config *c;
    const char *why;

    if (!ok(load(&c, BASE, &why) == APR_SUCCESS, "name and domain are enough"))
        return;
    is(c->file, path, "file");
    is(c->name, "relay1", "name");
    is(c->domain, "relay.example.com", "domain");
    is(c->ssh_host, "relay.example.com", "ssh host");
    ok(c->ssh_port == 443, "ssh port");
    is(c->user, "relay", "user");
    is(c->listen->text, "127.64.0.0/10:10000-59999", "listen");
    ok(c->cooldown == apr_time_from_sec(900) && c->ttl == apr_time_from_sec(7200) &&
           c->ttl_max == apr_time_from_sec(2592000),
       "cooldown, ttl, ttl-max");
    ok(c->https_port == 443 && c->redis_timeout == apr_time_from_msec(500), "https-port, timeout");
    is(c->redis->unix_path, "/run/redis/redis-server.sock", "redis");
    is(c->prefix, "relay:", "prefix");
    is(c->rlyd_users, "www-data relay-authkeys", "users");
    ok(c->max_startups_start == 100 && c->max_startups_rate == 30 && c->max_startups_full == 500 &&
           c->per_source_startups == 20,
       "max-startups, per-source-startups");
    ok(relay_config_default_path()[0] == '/' &&
           strstr(relay_config_default_path(), "/relay/relay.conf"),
       "the default path");
}

/* A default that its own check refuses would be left out, and nobody told. */
static void test_default_values(void)
{
#define DEFAULT(value) value
#define WITHOUT(text) NULL
    static const struct {
        const char *section, *key, *value;
    } keys[] = {
#define KEY(section, key, members, first, set, fallback, ...) {#section, key, fallback},
#include "relay_config.def"
    };
    relay_config *c;
    const char *why;

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i].value && !ok(load(&c,
                                      apr_psprintf(pool, BASE "[%s]\n%s = %s\n", keys[i].section,
                                                   keys[i].key, keys[i].value),
                                      &why) == APR_SUCCESS,
                                 "the default of %s can be written", keys[i].key))
            printf("# %s\n", why);
    }
}

static void test_values(void)
{
    relay_config *c;
    const char *why;
    apr_status_t rv;

    rv = load(
        &c,
        "; a comment\n# another\n\n[relay]\n  name=r-1 ; a comment\n\tdomain =  "
        "Relay.Example.COM.\n"
        "ssh = [2001:db8::1]:2222\nuser = tunnel_1\nlisten = 127.0.0.1:20000-20009, "
        "127.0.0.2:20000-20009\n"
        "cooldown = 90s\nttl = 1h\nttl-max = 2d\nhttps-port = 8443\n"
        "[redis]\nurl = redis://u%20x:p%40w@[::1]:6380/3\ntimeout = 250ms\nprefix = my-relay.1:\n"
        "[rlyd]\nsocket = /x/y\nsshd = /opt/sshd\nsshd-config = /opt/sshd_config\npid-file = "
        "/x/pid\n"
        "users = a b\nmax-startups = 1:100:1\nper-source-startups = 0\n",
        &why);
    if (!ok(rv == APR_SUCCESS, "all keys, comments, blanks")) {
        printf("# %s\n", why);
        return;
    }
    is(c->name, "r-1", "name");
    is(c->domain, "relay.example.com", "domain: lower case, no dot");
    is(c->ssh_host, "2001:db8::1", "ssh host: an IPv6 address");
    ok(c->ssh_port == 2222, "ssh port");
    is(c->user, "tunnel_1", "user");
    ok(c->listen->nblocks == 2 && c->listen->size == 20, "listen");
    ok(c->cooldown == apr_time_from_sec(90) && c->ttl == apr_time_from_sec(3600) &&
           c->ttl_max == apr_time_from_sec(172800),
       "spans");
    ok(c->https_port == 8443 && c->redis_timeout == apr_time_from_msec(250), "numbers");
    is(c->redis->user, "u x", "Redis user, decoded");
    is(c->redis->password, "p@w", "Redis password, decoded");
    is(c->redis->host, "::1", "Redis host");
    ok(c->redis->port == 6380 && c->redis->db == 3, "Redis port and database");
    ok(!strstr(c->redis->shown, "p@w") && !strstr(c->redis->shown, "p%40w"),
       "no password in what is shown");
    is(c->prefix, "my-relay.1:", "prefix");
    is(c->rlyd_socket, "/x/y", "socket");
    is(c->sshd, "/opt/sshd", "sshd");
    is(c->sshd_config, "/opt/sshd_config", "sshd-config");
    is(c->rlyd_pidfile, "/x/pid", "pid-file");
    is(c->rlyd_users, "a b", "users");
    ok(c->max_startups_start == 1 && c->max_startups_rate == 100 && c->max_startups_full == 1 &&
           !c->per_source_startups,
       "startups");
    ok(load(&c, "[relay]\r\nname = relay1\r\ndomain = relay.example.com\r\n", &why) ==
               APR_SUCCESS &&
           strcmp(c->domain, "relay.example.com") == 0,
       "CRLF");
    ok(load(&c, "\xef\xbb\xbf" BASE, &why) == APR_SUCCESS, "a byte order mark");
    ok(load(&c, "[relay]\nname = relay1\ndomain = relay.example.com", &why) == APR_SUCCESS,
       "no newline at the end");
    ok(load(&c, "[relay]\nname = a\ndomain = xn--bcher-kva.example\n", &why) == APR_SUCCESS,
       "an IDN domain");
    ok(load(&c, "[relay]\nname = a\ndomain = localhost\n", &why) == APR_SUCCESS,
       "a domain of one label");
}

/* [relay] ssh, in every spelling; port 0: it is an error, with these words in it. */
static const struct {
    const char *value, *host;
    int port;
} ssh_values[] = {
    {"relay.example.com", "relay.example.com", 443},
    {"relay.example.com:443", "relay.example.com", 443},
    {"relay.example.com:22", "relay.example.com", 22},
    {"  relay.example.com:2222  ; a comment", "relay.example.com", 2222},
    {"Relay.Example.Com.:65535", "Relay.Example.Com.", 65535},
    {"a", "a", 443},
    {"a:1", "a", 1},
    {"a:0022", "a", 22},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", 443},
    {"192.0.2.1", "192.0.2.1", 443},
    {"192.0.2.1:2222", "192.0.2.1", 2222},
    {"[2001:db8::1]", "2001:db8::1", 443},
    {"[2001:db8::1]:2222", "2001:db8::1", 2222},
    {"[::1]:22", "::1", 22},
    {"[::ffff:192.0.2.1]:22", "::ffff:192.0.2.1", 22},
    {"2001:db8::1", "write [2001:db8::1]:443", 0},
    {"2001:db8::1:443", "write [2001:db8::1:443]:443", 0},
    {"::1", "write [::1]:443", 0},
    {"::", "write [::]:443", 0},
    {"2001:db8::1:65536", "is not HOST:PORT", 0},
    {"", "is not HOST:PORT", 0},
    {":", "is not HOST:PORT", 0},
    {":443", "is not HOST:PORT", 0},
    {"a:", "the port must be a number", 0},
    {"a::", "write [a::]:443", 0},
    {"relay::22", "the port must be a number", 0},
    {"a:22:", "the port must be a number", 0},
    {"a:0", "the port must be a number", 0},
    {"a:65536", "the port must be a number", 0},
    {"a:99999999999999999999", "the port must be a number", 0},
    {"a:-1", "the port must be a number", 0},
    {"a:+22", "the port must be a number", 0},
    {"a:0x16", "the port must be a number", 0},
    {"a:22x", "the port must be a number", 0},
    {"a:2 2", "the port must be a number", 0},
    {"a: 22", "the port must be a number", 0},
    {"a:ssh", "the port must be a number", 0},
    {"a :22", "is not HOST:PORT", 0},
    {"a b:22", "is not HOST:PORT", 0},
    {"a 22", "is not HOST:PORT", 0},
    {"[]", "is not HOST:PORT", 0},
    {"[]:22", "is not HOST:PORT", 0},
    {"[::1", "is not HOST:PORT", 0},
    {"[::1]22", "is not HOST:PORT", 0},
    {"[::1] :22", "is not HOST:PORT", 0},
    {"[::1]:", "the port must be a number", 0},
    {"[::1]:0", "the port must be a number", 0},
    {"[::1]]:22", "is not HOST:PORT", 0},
    {"[::1%eth0]:22", "is not HOST:PORT", 0},
    {"[192.0.2.1]:22", "is not HOST:PORT", 0},
    {"[relay.example.com]:22", "is not HOST:PORT", 0},
    {"::1]:22", "is not HOST:PORT", 0},
    {"relay..example.com", "is not HOST:PORT", 0},
    {".example.com", "is not HOST:PORT", 0},
    {".", "is not HOST:PORT", 0},
    {"a_b:22", "is not HOST:PORT", 0},
    {"a-.b:22", "is not HOST:PORT", 0},
    {"-oProxyCommand=x:22", "is not HOST:PORT", 0},
    {"a.-b", "is not HOST:PORT", 0},
    {"user@a:22", "is not HOST:PORT", 0},
    {"ssh://a:22", "is not HOST:PORT", 0},
    {"a/b", "is not HOST:PORT", 0},
    {"$(touch x)", "is not HOST:PORT", 0},
    {"a:443, b:443", "the port must be a number", 0},
    {"b\xc3\xbc"
     "cher.example",
     "is not HOST:PORT", 0},
};

static void test_ssh(void)
{
    relay_config *c;
    const char *why;
    unsigned i;

    for (i = 0; i < sizeof(ssh_values) / sizeof(ssh_values[0]); i++) {
        int port = ssh_values[i].port;
        apr_status_t rv =
            load(&c, apr_psprintf(pool, BASE "ssh = %s\n", ssh_values[i].value), &why);

        if (!ok(port ? rv == APR_SUCCESS && strcmp(c->ssh_host, ssh_values[i].host) == 0 &&
                           c->ssh_port == port
                     : rv == RELAY_EINPUT && strstr(why, ":4: [relay] ssh: ") &&
                           strstr(why, ssh_values[i].host),
                "ssh = %s: %s %d", ssh_values[i].value, ssh_values[i].host, port))
            printf("# %d, said: %s\n", rv, why);
    }
    ok(load(&c, BASE "https-port = 8443\nssh = a\n", &why) == APR_SUCCESS && c->ssh_port == 443,
       "ssh without a port: 443, whatever https-port says, as where the key is left out");
    ok(load(&c, apr_psprintf(pool, BASE "ssh = %s%s:22\n", "a." X50 ".b." X50, ".c"), &why) ==
           APR_SUCCESS,
       "long labels");
    ok(load(&c, BASE "ssh = " X50 X10 "xxxx:22\n", &why) == RELAY_EINPUT,
       "a label of 64 characters");
}

static const struct {
    const char *text;
    int line; /* 0: the message names none */
    const char *fault;
} bad[] = {
    {"", 0, "[relay] name: is missing"},
    {"[relay]\nname = a\n", 0, "[relay] domain: is missing"},
    {"[relay]\ndomain = a.b\n", 0, "[relay] name: is missing"},
    {"name = a\n", 1, "a key before the first [section]"},
    {BASE "colour = red\n", 4, "[relay] colour: there is no such key"},
    {BASE "frobnicate = 1\n", 4, "[relay] frobnicate: there is no such key"},
    {BASE "Name = b\n", 4, "[relay] Name: there is no such key"},
    {BASE "[rly]\nx = y\n", 5, "[rly]: there is no such section"},
    {BASE "[RELAY]\nx = y\n", 5, "[RELAY]: there is no such section"},
    {BASE "[web]\nx = y\n", 5, "[web]: there is no such section"},
    {BASE "[frob]\nx = 1\n", 5, "[frob]: there is no such section"},
    {BASE "[redis]\nname = y\n", 5, "[redis] name: there is no such key"},
    {BASE "name = b\n", 4, "[relay] name: given twice"},
    {BASE "[redis]\n[relay]\nname = b\n", 6, "[relay] name: given twice"},
    {BASE "nonsense\n", 4, "this is neither"},
    {BASE "what is this\n", 4, "this is neither"},
    {"\x7f\x45LF\x01\x02\n\n", 1, ""},
    {BASE "[relay\n", 4, "this is neither"},
    {BASE "= x\n", 4, "[relay] : there is no such key"},
    {BASE "user = " X50 X50 X50 X50 "\n", 4, "longer than"},
    {"[relay]\nname = -a\n", 2, "[relay] name: a name cannot begin"},
    {"[relay]\nname =\n", 2, "[relay] name: a name cannot be empty"},
    {"[relay]\nname = A\n", 2, "[relay] name: a name has only"},
    {"[relay]\nname = a\ndomain =\n", 3, "[relay] domain: `' is not a DNS name"},
    {"[relay]\nname = a\ndomain = .\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = a..b\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = .a.b\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = *.a.b\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = https://a.b\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = a_b.c\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = a.b:443\n", 3, "is not a DNS name"},
    {"[relay]\nname = a\ndomain = xn--a/b.c\n", 3, "is not a DNS name"},
    {BASE "user = Root\n", 4, "is not a login name"},
    {BASE "user = -x\n", 4, "is not a login name"},
    {BASE "user = a b\n", 4, "is not a login name"},
    {BASE "listen = 127.0.0.1\n", 4, "[relay] listen: "},
    {BASE "listen =\n", 4, "[relay] listen: it is empty"},
    {BASE "listen = 0.0.0.0:20000-20001\n", 4, "loopback"},
    {BASE "cooldown = 0s\n", 4, "[relay] cooldown: it must be longer than 0"},
    {BASE "cooldown = 5\n", 4, "is not a time span"},
    {BASE "cooldown = soon\n", 4, "[relay] cooldown: `soon' is not a time span"},
    {BASE "listen = 10.0.0.0/8:1-2\n", 4, "loopback"},
    {BASE "ttl = 31d\n", 0, "[relay] ttl: 31d is more than ttl-max, 30d"},
    {BASE "ttl-max = 1h\n", 0, "[relay] ttl: 2h is more than ttl-max, 1h"},
    {BASE "https-port = 0\n", 4, "from 1 to 65535"},
    {BASE "https-port = 443x\n", 4, "from 1 to 65535"},
    {BASE "https-port = 0x1bb\n", 4, "from 1 to 65535"},
    {BASE "[redis]\nurl = localhost\n", 5, "[redis] url: write unix:"},
    {BASE "[redis]\nurl = mysql://x\n", 5, "[redis] url: write unix:"},
    {BASE "[redis]\nurl = redis://u:s3cret@:6379\n", 5, "[redis] url: "},
    {BASE "[redis]\nurl = redis://user:s3cret@host:99999/\n", 5, "[redis] url: "},
    {BASE "[redis]\ntimeout = 0ms\n", 5, "longer than 0"},
    {BASE "[redis]\npasswords = redis.d\n", 5, "not an absolute path"},
    {BASE "[redis]\npasswords = /d\nurl = unix://:p@/s\n", 0,
     "[redis] passwords: url has a login already"},
    {BASE "[redis]\nca = redis-ca.pem\n", 5, "not an absolute path"},
    {BASE "[redis]\nca = /ca\nurl = redis://h\n", 0, "[redis] ca: url is neither rediss://"},
    {BASE "[redis]\nread-url = sentinel://10.0.0.1/relay\n", 5, "a replica is one server"},
    {BASE "[redis]\nread-url = replica\n", 5, "[redis] read-url: write unix:"},
    {BASE "[redis]\npasswords = /d\nread-url = unix://:p@/s\n", 0,
     "[redis] passwords: url has a login already"},
    {BASE "[redis]\nprefix = a b\n", 5, "letters, digits"},
    {BASE "[redis]\nprefix = {x}\n", 5, "letters, digits"},
    {BASE "[redis]\nprefix = *\n", 5, "letters, digits"},
    {BASE "[redis]\nprefix =\n", 5, "letters, digits"},
    {BASE "[rlyd]\nsocket = rlyd.sock\n", 5, "is not an absolute path"},
    {BASE "[rlyd]\nsshd =\n", 5, "is not an absolute path"},
    {BASE "[rlyd]\nusers =\n", 5, "the value is missing"},
    {BASE "[rlyd]\nmax-startups = 100\n", 5, "START:RATE:FULL"},
    {BASE "[rlyd]\nmax-startups = 100:0:200\n", 5, "START:RATE:FULL"},
    {BASE "[rlyd]\nmax-startups = 100:101:200\n", 5, "START:RATE:FULL"},
    {BASE "[rlyd]\nmax-startups = 100:30:99\n", 5, "START:RATE:FULL"},
    {BASE "[rlyd]\nmax-startups = 100:30:200:1\n", 5, "START:RATE:FULL"},
    {BASE "[rlyd]\nper-source-startups = -1\n", 5, "a number from 0"},
    {BASE "[rlyd]\nmerge = yes\n", 5, "on or off"},
};

static void test_errors(void)
{
    relay_config *c;
    const char *why, *where;
    unsigned i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        apr_status_t rv = load(&c, bad[i].text, &why);

        where = apr_psprintf(pool, bad[i].line ? "%s:%d: " : "%s: ", path, bad[i].line);
        ok(rv == RELAY_EINPUT, "bad %u: refused", i);
        if (!ok(strncmp(why, where, strlen(where)) == 0 && strstr(why, bad[i].fault),
                "and the error says: %s%s", where, bad[i].fault))
            printf("# said: %s\n", why);
        ok(!strstr(why, "s3cret"), "and no password");
        ok(!c, "nothing is given out");
        ok(relay_config_load(&c, path, NULL, pool, NULL) == rv, "the same without why");
    }
    ok(load_bytes(&c, BASE "us\0er = x\n", sizeof(BASE "us\0er = x\n") - 1, &why) == RELAY_EINPUT,
       "a NUL byte");
    ok(relay_config_load(&c, "/nonexistent/relay.conf", NULL, pool, &why) != APR_SUCCESS &&
           strstr(why, "/nonexistent/relay.conf: cannot be read"),
       "a missing file");
    ok(relay_config_load(&c, "/tmp", NULL, pool, &why) != APR_SUCCESS &&
           strstr(why, "/tmp: cannot be read"),
       "a directory");
}

/* The files of [redis] passwords. */
static const struct {
    const char *content, *password; /* NULL: refused */
} passwords[] = {
    {"secret\n", "secret"},
    {"secret", "secret"},
    {"secret\r\nmore\n", "secret"},
    {"s;=[#\"%41\n", "s;=[#\"%41"},
    {"", NULL},
    {"\n", NULL},
    {" \n", NULL},
    {"two words\n", NULL},
    {"secret \n", NULL},
    {"s\xc3\xa9\n", NULL},
    {"\nsecret\n", NULL},
    {X50 X50 X50 X50 X50 "xxxxxx\n", X50 X50 X50 X50 X50 "xxxxxx"},
    {X50 X50 X50 X50 X50 "xxxxxxx\n", NULL},
    {X50 X50 X50 X50 X50 "xxxxxxx", NULL},
    {X50 X50 X50 X50 X50 X50 X50 "\n", NULL},
};

static void test_passwords(void)
{
    char dir[] = "/tmp/test_config.d.XXXXXX";
    const char *why, *file, *conf;
    relay_config *c;
    unsigned i;
    FILE *f;

    if (!mkdtemp(dir))
        perror(dir);
    file = apr_psprintf(pool, "%s/rlyd", dir);
    conf = apr_psprintf(pool, BASE "[redis]\npasswords = %s\n", dir);
    if (ok(load(&c, conf, &why) == APR_SUCCESS && !c->redis->password,
           "who is no part needs no password"))
        is(c->passwords, dir, "passwords");
    ok(relay_config_load(&c, path, "rlyd", pool, &why) != APR_SUCCESS && strstr(why, path) &&
           strstr(why, file) && strstr(why, "cannot be read") && strstr(why, "relay-redis-setup"),
       "no file for the part");
    for (i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
        if (!(f = fopen(file, "w")) || fputs(passwords[i].content, f) < 0 || fclose(f))
            perror(file);
        if (passwords[i].password) {
            ok(relay_config_load(&c, path, "rlyd", pool, &why) == APR_SUCCESS, "password %u", i);
            is(c->redis->password, passwords[i].password, "it is the first line");
            is(c->redis->user, "relay-rlyd", "its user");
        }
        else {
            ok(relay_config_load(&c, path, "rlyd", pool, &why) == RELAY_EINPUT &&
                   strstr(why, file) && (!*passwords[i].content || !strstr(why, "secret")),
               "password %u is refused, and not shown", i);
        }
    }
    unlink(file);
    rmdir(dir);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    close(mkstemp(path));
    test_defaults();
    test_default_values();
    test_values();
    test_ssh();
    test_errors();
    test_passwords();
    unlink(path);
    apr_terminate();
    return done_testing();
}
