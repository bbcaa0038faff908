/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_config.h"
#include "relay_config_file.h"
#include "relay_duration.h"
#include "relay_name.h"

#include <apr_file_io.h>
#include <apr_lib.h>
#include <arpa/inet.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RELAY_CONF_DEFAULT RELAY_SYSCONFDIR "/relay/relay.conf"
/* inih's own limit, which it does not tell: longer lines would be cut. */
#define LINE_MAX_CHARS 190
/* [relay] ssh, where it names none: devices come through Apache's port. */
#define RELAY_SSH_PORT 443

const char *relay_config_default_path(void)
{
    return RELAY_CONF_DEFAULT;
}

/* ---- values; each sets *why and returns 0 when the value cannot be used */

typedef int set_fn(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                   const char **why);

static int set_string(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                      const char **why)
{
    if (!*value) {
        RELAY_WHY(why, p, "the value is missing");
        return 0;
    }
    *(const char **)field = apr_pstrdup(p, value);
    return 1;
}

static int set_path(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                    const char **why)
{
    if (*value != '/') {
        RELAY_WHY(why, p, "`%s' is not an absolute path", value);
        return 0;
    }
    return set_string(cfg, field, value, p, why);
}

static int set_label(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                     const char **why)
{
    return relay_name_check(value, strlen(value), p, why) == APR_SUCCESS &&
           set_string(cfg, field, value, p, why);
}

/* A name's label, or an IDN's. */
static int is_dns_label(const char *label, apr_size_t len)
{
    if (len > 4 && len <= RELAY_NAME_MAX && strncmp(label, "xn--", 4) == 0) {
        label += 4;
        len -= 4;
    }
    return relay_name_check(label, len, NULL, NULL) == APR_SUCCESS;
}

static int is_dns_name(const char *name)
{
    const char *dot;

    for (; (dot = strchr(name, '.')) != NULL; name = dot + 1)
        if (!is_dns_label(name, (apr_size_t)(dot - name)))
            return 0;
    return is_dns_label(name, strlen(name));
}

static int set_domain(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                      const char **why)
{
    char *domain = apr_pstrdup(p, value), *c;
    apr_size_t len = strlen(domain);

    if (len && domain[len - 1] == '.')
        domain[--len] = '\0';
    for (c = domain; *c; c++)
        *c = (char)apr_tolower(*c);
    if (len > 253 - RELAY_NAME_MAX - 1 || !is_dns_name(domain)) {
        RELAY_WHY(why, p, "`%.80s' is not a DNS name: write one like relay.example.com", value);
        return 0;
    }
    *(const char **)field = domain;
    return 1;
}

/* A host's name, in what a shell and ssh take as it is: labels of letters, digits and hyphens, not
 * at their ends. */
static int is_host_name(const char *host)
{
    apr_size_t len, total = strlen(host);

    if (!total || total > 253)
        return 0;
    for (; *host; host += len + (host[len] == '.')) {
        len = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
        if (!len || len > 63 || (host[len] && host[len] != '.') || *host == '-' ||
            host[len - 1] == '-')
            return 0;
    }
    return 1;
}

/* Splits HOST, HOST:PORT, [IPV6] or [IPV6]:PORT in place. @param port out: NULL where none is given
 * @return NULL where it is none of these */
static char *split_host(char *text, char **port)
{
    char *host = text, *end = strchr(text, ':');
    struct in6_addr v6;

    if (*text == '[') {
        host++;
        if ((end = strchr(host, ']')) == NULL || (end[1] && end[1] != ':'))
            return NULL;
        *end++ = '\0';
    }
    *port = end && *end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return (*text == '[' ? inet_pton(AF_INET6, host, &v6) == 1 : is_host_name(host)) ? host : NULL;
}

static int set_ssh(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                   const char **why)
{
    char *port, *host = split_host(apr_pstrdup(p, value), &port), *end;
    struct in6_addr v6;
    long n = RELAY_SSH_PORT;

    if (inet_pton(AF_INET6, value, &v6) == 1) {
        RELAY_WHY(why, p,
                  "`%.80s' is an IPv6 address, whose end cannot be told from a port: write "
                  "[%.80s]:%d",
                  value, value, RELAY_SSH_PORT);
        return 0;
    }
    if (host && port) {
        n = strtol(port, &end, 10);
        if (!apr_isdigit(*port) || *end || n < 1 || n > 65535) {
            RELAY_WHY(why, p,
                      "`%.80s' is not HOST:PORT, like relay.example.com:443: the port must be a "
                      "number from 1 to 65535; without `:PORT' it is %d",
                      value, RELAY_SSH_PORT);
            return 0;
        }
    }
    if (!host) {
        RELAY_WHY(why, p,
                  "`%.80s' is not HOST:PORT, like relay.example.com:443, nor HOST alone, nor an "
                  "IPv6 address in brackets",
                  value);
        return 0;
    }
    cfg->ssh_host = host;
    cfg->ssh_port = (apr_uint16_t)n;
    return 1;
}

static int set_user(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                    const char **why)
{
    if (!*value || strlen(value) > 31 || !(apr_islower(*value) || *value == '_') ||
        value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-")]) {
        RELAY_WHY(why, p, "`%.40s' is not a login name", value);
        return 0;
    }
    return set_string(cfg, field, value, p, why);
}

static int set_listen(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                      const char **why)
{
    return relay_listen_space_parse(field, value, p, why) == APR_SUCCESS;
}

static int set_span(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                    const char **why)
{
    apr_interval_time_t span;

    if (relay_duration_parse(&span, value, p, why) != APR_SUCCESS)
        return 0;
    if (span <= 0) {
        RELAY_WHY(why, p, "it must be longer than 0");
        return 0;
    }
    *(apr_interval_time_t *)field = span;
    return 1;
}

static int read_int(const char **text, long min, long max, int *out)
{
    char *end;
    long n;

    if (!apr_isdigit(**text))
        return 0;
    n = strtol(*text, &end, 10);
    if (n < min || n > max)
        return 0;
    *out = (int)n;
    *text = end;
    return 1;
}

static int set_port(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                    const char **why)
{
    if (read_int(&value, 1, 65535, field) && !*value)
        return 1;
    RELAY_WHY(why, p, "it must be a port number from 1 to 65535");
    return 0;
}

static int set_count(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                     const char **why)
{
    if (read_int(&value, 0, 1000000, field) && !*value)
        return 1;
    RELAY_WHY(why, p, "it must be a number from 0 to 1000000");
    return 0;
}

static int set_switch(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                      const char **why)
{
    int on = strcmp(value, "on") == 0;

    if (on || strcmp(value, "off") == 0) {
        *(int *)field = on;
        return 1;
    }
    RELAY_WHY(why, p, "it must be on or off");
    return 0;
}

static int set_startups(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                        const char **why)
{
    int start, rate, full;

    if (!read_int(&value, 1, 1000000, &start) || *value++ != ':' ||
        !read_int(&value, 1, 100, &rate) || *value++ != ':' ||
        !read_int(&value, start, 1000000, &full) || *value) {
        RELAY_WHY(why, p, "write START:RATE:FULL as for sshd's MaxStartups, like 100:30:500");
        return 0;
    }
    cfg->max_startups_start = start;
    cfg->max_startups_rate = rate;
    cfg->max_startups_full = full;
    return 1;
}

static int set_redis(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                     const char **why)
{
    return relay_redis_url_parse(field, value, p, why) == APR_SUCCESS;
}

static int set_read_url(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                        const char **why)
{
    relay_redis_url *url;

    if (relay_redis_url_parse(&url, value, p, why) != APR_SUCCESS)
        return 0;
    if (url->primary) {
        RELAY_WHY(why, p, "a replica is one server: give its address, not sentinels");
        return 0;
    }
    *(relay_redis_url **)field = url;
    return 1;
}

static int set_prefix(relay_config *cfg, void *field, const char *value, apr_pool_t *p,
                      const char **why)
{
    if (!*value || strlen(value) > 64 ||
        value[strspn(value,
                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")]) {
        RELAY_WHY(why, p, "it must be 1 to 64 letters, digits, and . : _ -");
        return 0;
    }
    return set_string(cfg, field, value, p, why);
}

/* ---- the keys */

#define DEFAULT(value) value
#define WITHOUT(text) NULL

static const struct {
    const char *section, *key;
    apr_size_t offset;
    set_fn *set;
    const char *fallback; /* NULL: none */
} keys[] = {
#define KEY(section, key, members, first, set, fallback, ...) \
    {#section, key, offsetof(relay_config, first), set, fallback},
#include "relay_config.def"
};

#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static int set_key(relay_config *cfg, apr_size_t i, const char *value, apr_pool_t *p,
                   const char **why)
{
    return keys[i].set(cfg, (char *)cfg + keys[i].offset, value, p, why);
}

apr_status_t relay_config_set(relay_config *cfg, const char *key, const char *value, apr_pool_t *p,
                              const char **why)
{
    for (apr_size_t i = 0; i < NKEYS; i++)
        if (strcmp(keys[i].section, "relay") == 0 && strcmp(keys[i].key, key) == 0)
            return set_key(cfg, i, value, p, why) ? APR_SUCCESS : RELAY_EINPUT;
    RELAY_WHY(why, p, "[relay] has no key `%s'", key);
    return RELAY_EINPUT;
}

static void set_defaults(relay_config *cfg, apr_pool_t *p)
{
    for (apr_size_t i = 0; i < NKEYS; i++)
        if (keys[i].fallback)
            set_key(cfg, i, keys[i].fallback, p, NULL);
}

/* ---- reading */

typedef struct reading {
    relay_config *cfg;
    apr_pool_t *p;
    apr_file_t *file;
    const char *fault; /* the first one; inih reports its line */
    int seen[NKEYS];
} reading;

static int on_pair(void *user, const char *section, const char *key, const char *value)
{
    reading *rd = user;
    const char *why = NULL;
    unsigned i;
    int section_known = 0;

    if (rd->fault)
        return 0;
    for (i = 0; i < NKEYS; i++) {
        if (strcmp(section, keys[i].section))
            continue;
        section_known = 1;
        if (strcmp(key, keys[i].key) == 0)
            break;
    }
    if (!section_known) {
        rd->fault =
            *section
                ? apr_psprintf(rd->p,
                               "[%.40s]: there is no such section: [relay], [redis] and [rlyd] are "
                               "known",
                               section)
                : apr_psprintf(rd->p, "%.40s: a key before the first [section]", key);
    }
    else if (i == NKEYS) {
        rd->fault = apr_psprintf(rd->p, "[%s] %.40s: there is no such key", section, key);
    }
    else if (rd->seen[i]++) {
        rd->fault = apr_psprintf(rd->p, "[%s] %s: given twice", section, key);
    }
    else if (!set_key(rd->cfg, i, value, rd->p, &why)) {
        rd->fault = apr_psprintf(rd->p, "[%s] %s: %s", section, key, why);
    }
    return rd->fault == NULL;
}

/* Gives inih a line; without leading blanks, which inih would take for the sign of a continued
 * value. */
static char *next_line(char *buf, int size, void *stream)
{
    reading *rd = stream;
    apr_size_t len, skip;

    if (apr_file_gets(buf, size, rd->file) != APR_SUCCESS)
        return NULL;
    len = strlen(buf);
    if (!rd->fault &&
        (len > LINE_MAX_CHARS || (len + 1 >= (apr_size_t)size && buf[len - 1] != '\n')))
        rd->fault = apr_psprintf(rd->p, "the line is longer than %d characters", LINE_MAX_CHARS);
    skip = strspn(buf, " \t");
    memmove(buf, buf + skip, len - skip + 1);
    return buf;
}

static int has_password(const relay_config *cfg)
{
    return cfg->redis->password || (cfg->redis_read && cfg->redis_read->password);
}

/* What no single line can show. */
static apr_status_t check_whole(relay_config *cfg, apr_pool_t *p, const char **why)
{
    const char *missing = !cfg->name ? "name" : !cfg->domain ? "domain" : NULL;

    if (missing) {
        RELAY_WHY(why, p, "%s: [relay] %s: is missing; it has no default", cfg->file, missing);
        return RELAY_EINPUT;
    }
    if (!cfg->ssh_host) {
        cfg->ssh_host = cfg->domain;
        cfg->ssh_port = RELAY_SSH_PORT;
    }
    if (cfg->ttl > cfg->ttl_max) {
        RELAY_WHY(why, p, "%s: [relay] ttl: %s is more than ttl-max, %s", cfg->file,
                  relay_duration_print(cfg->ttl, p), relay_duration_print(cfg->ttl_max, p));
        return RELAY_EINPUT;
    }
    if (cfg->passwords && has_password(cfg)) {
        RELAY_WHY(why, p, "%s: [redis] passwords: url has a login already; take one of the two out",
                  cfg->file);
        return RELAY_EINPUT;
    }
    if (cfg->redis_ca && !cfg->redis->tls && !(cfg->redis_read && cfg->redis_read->tls)) {
        RELAY_WHY(why, p, "%s: [redis] ca: url is neither rediss:// nor sentinels://", cfg->file);
        return RELAY_EINPUT;
    }
    cfg->redis->ca = cfg->redis_ca;
    if (cfg->redis_read)
        cfg->redis_read->ca = cfg->redis_ca;
    return APR_SUCCESS;
}

apr_status_t relay_config_load(relay_config **out, const char *path, const char *part,
                               apr_pool_t *p, const char **why)
{
    relay_config *cfg = apr_pcalloc(p, sizeof(*cfg));
    reading rd = {.cfg = cfg, .p = p};
    apr_fileperms_t mode;
    apr_status_t rv;
    int line;

    cfg->file = apr_pstrdup(p, path ? path : relay_config_default_path());
    set_defaults(cfg, p);
    if ((rv = relay_config_open(&rd.file, &mode, cfg->file, p, why)) != APR_SUCCESS)
        return rv;
    line = ini_parse_stream(next_line, &rd, on_pair, &rd);
    apr_file_close(rd.file);
    if (line > 0 || rd.fault) {
        RELAY_WHY(why, p, "%s:%d: %s", cfg->file, line > 0 ? line : 1,
                  rd.fault ? rd.fault : "this is neither [section] nor key = value");
        return RELAY_EINPUT;
    }
    if (line < 0)
        return APR_ENOMEM;
    if ((rv = check_whole(cfg, p, why)) != APR_SUCCESS)
        return rv;
    if (has_password(cfg))
        relay_config_warn_open(cfg->file, mode);
    if (part && cfg->passwords && (rv = relay_config_password(cfg, part, p, why)) != APR_SUCCESS)
        return rv;
    *out = cfg;
    return APR_SUCCESS;
}
