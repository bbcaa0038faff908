/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relayrewrite: a RewriteMap program (`prg:`) for an Apache that cannot load mod_relay. For each
 * line on stdin, a Host header, it writes one line: the listen address of that name's route, or
 * NULL.
 *
 * httpd starts it once, with the configuration, and asks it one question at a time for all threads
 * of all processes; it waits for each answer without a time-out, and does not start a program that
 * died again (mod_rewrite.c, lookup_map_program()). So this program answers every line whatever
 * happens, at once or within one deadline of Redis's, and ends only when stdin does.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "relay_log.h"
#include "relay_name.h"
#include "relay_process.h"
#include "relay_route.h"
#include "relay_service.h"

#define USAGE \
    "usage: relayrewrite [-c FILE] [-s SCHEME]      (by Apache: RewriteMap NAME " \
    "\"prg:…/relayrewrite\" USER:GROUP)\n" \
    "Reads a host a line, answers the listen address of its route, 127.77.0.5:10000, or NULL.\n" \
    "  -c FILE     relay.conf\n" \
    "  -s SCHEME   only routes to services of this scheme (http, https, h2c); without it, of " \
    "any\n"

/* The longest Host header that can be a route's is 63 + 1 + 189 characters and a port. */
#define HOST_MAX 1024
#define COMPLAIN_EVERY apr_time_from_sec(5)
/* At most a fifth of the time is spent waiting for a Redis that does not answer. */
#define HOLD_OFF_TIMES 4

typedef struct resolver {
    const char *conf_file, *scheme;
    apr_pool_t *pool, *scratch; /* scratch: of one question */
    const relay_config *conf;   /* NULL until relay.conf could be read */
    relay_store *store;
    apr_time_t try_again;  /* before this Redis is not asked */
    apr_time_t complained; /* when trouble was last logged */
} resolver;

/* Microseconds on a clock that never steps. */
static apr_time_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

static void complain(resolver *rs, const char *what, const char *why)
{
    apr_time_t t = now();

    if (rs->complained && t - rs->complained < COMPLAIN_EVERY)
        return;
    rs->complained = t;
    relay_log(RELAY_LOG_ERR, "%s%s", what, why);
}

/* relay.conf is read again until it can be read: httpd does not start a program again that has
 * ended. */
static int configured(resolver *rs)
{
    const char *why = NULL;
    relay_config *conf;
    apr_pool_t *p;

    if (rs->conf)
        return 1;
    if (apr_pool_create(&p, rs->pool) != APR_SUCCESS)
        return 0;
    if (relay_config_load(&conf, rs->conf_file, "web", p, &why) != APR_SUCCESS) {
        complain(rs, "RLY501 every name is answered with NULL: ", why);
        apr_pool_destroy(p);
        rs->try_again = now() + apr_time_from_sec(1);
        return 0;
    }
    rs->conf = conf;
    relay_store_create(&rs->store, conf, p);
    relay_store_read_from(rs->store, conf->redis_read);
    return 1;
}

static apr_status_t look_up(resolver *rs, const char *name, relay_route *route)
{
    const char *why = NULL, *gone;
    apr_time_t asked = now();
    apr_status_t rv = relay_route_find(route, rs->store, name, &gone, rs->scratch, &why);

    if (rv == RELAY_EUNREACHABLE)
        rs->try_again = now() + HOLD_OFF_TIMES * (now() - asked);
    if (rv == APR_SUCCESS)
        rv = relay_route_check(route, rs->conf, rs->scratch, &why);
    if (rv == RELAY_EUNREACHABLE || rv == RELAY_ERECORD)
        complain(rs, apr_psprintf(rs->scratch, "RLY502 route %s cannot be looked up: ", name), why);
    return rv;
}

/* The answer to one line, without its newline. The text lives in rs->scratch. */
static const char *resolve(resolver *rs, const char *host, size_t len)
{
    char name[RELAY_NAME_MAX + 1];
    relay_route route;

    apr_pool_clear(rs->scratch);
    if (now() < rs->try_again || !configured(rs))
        return "NULL";
    if (relay_name_from_host(name, host, len, rs->conf->domain) != RELAY_HOST_NAME ||
        relay_name_is_reserved(name))
        return "NULL";
    if (look_up(rs, name, &route) != APR_SUCCESS || !relay_scheme_is_web(route.scheme))
        return "NULL";
    if (rs->scheme && strcmp(rs->scheme, route.scheme))
        return "NULL";
    return relay_listen_addr_print(route.listen, rs->scratch);
}

/* All of it, at once: stdout has no buffer here. When nobody reads any more, stdin will end. */
static void say(resolver *rs, const char *answer)
{
    char line[64];
    size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", answer), done = 0;

    while (done < len) {
        ssize_t n = write(STDOUT_FILENO, line + done, len - done);

        if (n > 0) {
            done += (size_t)n;
        }
        else if (n < 0 && errno == EAGAIN) {
            struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};

            poll(&fd, 1, -1);
        }
        else if (n == 0 || errno != EINTR) {
            complain(rs, "RLY503 an answer could not be written: ",
                     n ? strerror(errno) : "nothing was taken");
            return;
        }
    }
}

/* The line that is being read. Bytes beyond the longest host are counted, not kept. */
typedef struct line {
    char text[HOST_MAX];
    size_t len;
} line;

static void add(line *l, const char *bytes, size_t n)
{
    size_t room = l->len < sizeof(l->text) ? sizeof(l->text) - l->len : 0;

    memcpy(l->text + (l->len < sizeof(l->text) ? l->len : 0), bytes, n < room ? n : room);
    l->len += n;
}

static void finish(resolver *rs, line *l)
{
    say(rs, l->len <= sizeof(l->text) ? resolve(rs, l->text, l->len) : "NULL");
    l->len = 0;
}

static void serve(resolver *rs)
{
    line l = {.len = 0};
    char buf[8192];

    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
        const char *at = buf, *end = buf + (n > 0 ? n : 0), *newline;

        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

            poll(&fd, 1, -1);
            continue;
        }
        if (n <= 0)
            break;
        while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            add(&l, at, (size_t)(newline - at));
            finish(rs, &l);
            at = newline + 1;
        }
        add(&l, at, (size_t)(end - at));
    }
    if (l.len) /* a last line that has no newline */
        finish(rs, &l);
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    resolver rs = {0};
    int opt;

    while ((opt = getopt_long(argc, argv, "c:s:h", longopts, NULL)) != -1) {
        switch (opt) {
        case 'c':
            rs.conf_file = optarg;
            break;
        case 's':
            rs.scheme = optarg;
            break;
        case 'h':
            fputs(USAGE, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("relayrewrite " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs(USAGE, stderr);
            return 2;
        }
    }
    if (optind != argc || (rs.scheme && !relay_scheme_is_web(rs.scheme))) {
        fputs(optind != argc ? "relayrewrite: it takes no arguments but options\n"
                             : "relayrewrite: -s takes http, https or h2c\n",
              stderr);
        fputs(USAGE, stderr);
        return 2;
    }
    relay_process_keep_secrets();
    /* To stderr, too: that is the error log of the httpd that started it. */
    openlog("relayrewrite", LOG_PID | LOG_PERROR, LOG_DAEMON);
    relay_log_install(relay_log_to_syslog, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* httpd ends it by closing stdin, or with SIGTERM */
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&rs.pool, NULL) != APR_SUCCESS ||
        apr_pool_create(&rs.scratch, rs.pool) != APR_SUCCESS) {
        relay_log(RELAY_LOG_ERR, "RLY504 APR cannot start");
        return EXIT_FAILURE;
    }
    if (!configured(&rs))
        rs.complained = 0; /* the first request's complaint shall be seen as well */
    serve(&rs);
    apr_pool_destroy(rs.pool);
    apr_terminate();
    return EXIT_SUCCESS;
}
