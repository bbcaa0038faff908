/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay-authkeys: sshd's AuthorizedKeysCommand. Says what the key that a client offers may do: one
 * line of authorized_keys on stdout and exit status 0, or nothing and 0 for a key that has no
 * grant. Whatever else happens, it prints nothing, reports to syslog and exits non-zero, upon which
 * sshd takes no key (auth2-pubkey.c, user_key_command_allowed2: the exit status is looked at after
 * the line was matched).
 *
 * sshd runs it twice for each login: when the client asks whether a key would do, and when it has
 * signed. It starts with PATH, USER, LOGNAME, HOME and LANG only, stdin and stderr on /dev/null, as
 * AuthorizedKeysCommandUser. Its parent is the connection's monitor process.
 *
 * It is small on purpose, and loads neither libssh nor libcrypto: start-up is most of what it
 * costs. --check runs another program, which explains by hand (rly/doctor/authkeys_check.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"
#include "authkeys.h"
#include "relay_log.h"
#include "relay_process.h"
#include "relay_rlyd.h"

#define USAGE \
    "usage: relay-authkeys [-c FILE] [-l] USER FINGERPRINT TYPE BASE64      (by sshd: %u %f %t " \
    "%k)\n" \
    "       relay-authkeys [-c FILE] [-l] --check FINGERPRINT|PUBKEYFILE    (by hand)\n"

/* Makes sure that descriptors 0 to 2 are taken, so that a socket cannot become stdout. @return
 * whether stdout was open */
static int stdio_is_whole(void)
{
    int had_stdout = fcntl(STDOUT_FILENO, F_GETFD) != -1;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    close(fd);
    return had_stdout;
}

/*
 * Each step with Redis has its deadline, but a peer that sends a byte now and then could stretch
 * them. After three times the deadline the kernel ends us, which voids the key; sshd logs the
 * signal.
 */
static void limit_lifetime(apr_interval_time_t timeout)
{
    struct itimerval limit = {{0, 0}, {0, 0}};

    limit.it_value.tv_sec = apr_time_sec(3 * timeout);
    limit.it_value.tv_usec = apr_time_usec(3 * timeout);
    signal(SIGALRM, SIG_DFL);
    setitimer(ITIMER_REAL, &limit, NULL);
}

/* One write, so that sshd reads all of the line or none. */
static apr_status_t put_line(const char *line)
{
    size_t len = strlen(line);
    ssize_t n;

    do
        n = write(STDOUT_FILENO, line, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return APR_FROM_OS_ERROR(errno);
    return (size_t)n == len ? APR_SUCCESS : APR_EGENERAL;
}

/* --check: runs relay-authkeys-check, which is installed beside this program. */
static int run_check(char **argv)
{
    char self[PATH_MAX], path[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0) {
        fprintf(stderr, "relay-authkeys: cannot tell where this program is: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    self[n] = '\0';
    snprintf(path, sizeof(path), "%s/relay-authkeys-check", dirname(self));
    execv(path, argv);
    fprintf(stderr, "relay-authkeys: cannot run %s: %s. Install it beside relay-authkeys.\n", path,
            strerror(errno));
    return EXIT_FAILURE;
}

/* Tells rlyd whose login this may become, before sshd learns of the grant. rlyd finds the session
 * without this, too, only later; so a failure here refuses nobody. */
static void report(const relay_config *cfg, const relay_grant *grant, const char *fingerprint,
                   apr_pool_t *p)
{
    const char *why = NULL;
    apr_status_t rv;

    if (access(cfg->rlyd_socket, F_OK))
        return;                         /* this relay has none */
    limit_lifetime(cfg->redis_timeout); /* counted anew: the answer is there already */
    rv = relay_rlyd_login(cfg->rlyd_socket, grant, fingerprint, cfg->redis_timeout, p, &why);
    if (rv != APR_SUCCESS)
        relay_log(rv == RELAY_EREFUSED ? RELAY_LOG_NOTICE : RELAY_LOG_INFO, "RLY209: tunnel %s: %s",
                  grant->tunnel, why);
}

/* Tells rlyd why nothing is granted, for its line about the login. The client is told no reason. */
static void report_refused(const relay_config *cfg, relay_rlyd_refusal refusal,
                           const char *fingerprint, const char *tunnel, apr_pool_t *p)
{
    const char *why = NULL;
    apr_status_t rv;

    if (access(cfg->rlyd_socket, F_OK))
        return;
    limit_lifetime(cfg->redis_timeout);
    rv = relay_rlyd_refused(cfg->rlyd_socket, refusal, fingerprint, tunnel, cfg->redis_timeout, p,
                            &why);
    if (rv != APR_SUCCESS)
        relay_log(RELAY_LOG_INFO, "RLY220: key %s: %s", fingerprint, why);
}

/* Only what looks like an id may stand in a message. */
static int is_id(const char *text)
{
    return *text && strlen(text) < 64 &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789")];
}

/* Redis has no grant for the key: tells rlyd whether there was one. Where Redis does not say (an
 * older Redis user may not ask), the key is unknown. */
static void report_unknown(const relay_config *cfg, relay_store *store, const char *fingerprint,
                           apr_pool_t *p)
{
    const char *tunnel = NULL, *why = NULL;
    relay_rlyd_refusal refusal = RELAY_RLYD_UNKNOWN;
    int closed = 0;

    if (access(cfg->rlyd_socket, F_OK))
        return;
    if (relay_grant_ended(&tunnel, &closed, store, fingerprint, p, &why) == APR_SUCCESS &&
        is_id(tunnel))
        refusal = closed ? RELAY_RLYD_CLOSED : RELAY_RLYD_EXPIRED;
    report_refused(cfg, refusal, fingerprint, refusal == RELAY_RLYD_UNKNOWN ? NULL : tunnel, p);
}

/* Reports why there is no grant. @return the exit status */
static int refuse(const relay_config *cfg, relay_store *store, apr_status_t rv,
                  const char *fingerprint, const char *why, apr_pool_t *p)
{
    if (rv == RELAY_ENOTFOUND) {
        report_unknown(cfg, store, fingerprint, p);
        return EXIT_SUCCESS;
    }
    if (rv == RELAY_EREFUSED) {
        relay_log(RELAY_LOG_NOTICE, "RLY205: key %s is not granted here: %s", fingerprint, why);
        report_refused(cfg, RELAY_RLYD_ELSEWHERE, fingerprint, NULL, p);
        return EXIT_SUCCESS;
    }
    if (rv == RELAY_EUNREACHABLE)
        relay_log(RELAY_LOG_ERR, "RLY204: key %s is refused: %s", fingerprint, why);
    else
        relay_log(RELAY_LOG_ERR, "RLY206: key %s is refused: %s", fingerprint, why);
    report_refused(cfg, rv == RELAY_EUNREACHABLE ? RELAY_RLYD_REDIS : RELAY_RLYD_RECORD,
                   fingerprint, NULL, p);
    return EXIT_FAILURE;
}

/* The one decision. @return the exit status */
static int answer(const authkeys_request *req, const char *conf, int loopback_only, apr_pool_t *p)
{
    const char *why = NULL, *line;
    relay_config *cfg = NULL;
    relay_store *store = NULL;
    relay_grant grant;
    apr_status_t rv;

    if (authkeys_request_check(req, p, &why) != APR_SUCCESS) {
        relay_log(RELAY_LOG_ERR, "RLY202: refused: %s", why);
        return EXIT_FAILURE;
    }
    if (relay_config_load(&cfg, conf, AUTHKEYS_PART, p, &why) != APR_SUCCESS) {
        relay_log(RELAY_LOG_ERR, "RLY203: no key is accepted: %s", why);
        return EXIT_FAILURE;
    }
    if (strcmp(req->user, cfg->user))
        /* a tunnel's key opens this one login; others are not ours to speak of */
        return EXIT_SUCCESS;

    limit_lifetime(cfg->redis_timeout);
    relay_store_create(&store, cfg, p);
    relay_store_read_from(store, cfg->redis_read);
    rv = authkeys_grant_find(&grant, store, cfg, req->fingerprint, p, &why);
    if (rv != APR_SUCCESS)
        return refuse(cfg, store, rv, req->fingerprint, why, p);

    line = apr_pstrcat(p, authkeys_options(&grant, loopback_only, p), " ", req->type, " ",
                       req->blob, "\n", NULL);

    report(cfg, &grant, req->fingerprint, p);
    if ((rv = put_line(line)) != APR_SUCCESS) {
        char buf[120];

        relay_log(RELAY_LOG_ERR,
                  "RLY207: tunnel %s: key %s is refused: sshd does not take the answer: %s",
                  grant.tunnel, req->fingerprint, apr_strerror(rv, buf, sizeof(buf)));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {{"check", no_argument, NULL, 'C'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};
    const char *conf = NULL;
    authkeys_request req;
    apr_pool_t *p = NULL;
    int whole = stdio_is_whole(), loopback_only = 0, opt, status;

    relay_process_stand_alone(argv);
    relay_process_keep_secrets();
    /* To stderr, too: sshd has it on /dev/null, a person by hand wants to see it. */
    openlog("relay-authkeys", LOG_PID | LOG_PERROR, LOG_AUTHPRIV);
    relay_log_install(relay_log_to_syslog, NULL);
    /* A reader that went away is an error to report, not a silent death. */
    signal(SIGPIPE, SIG_IGN);
    if (!whole) {
        relay_log(RELAY_LOG_ERR, "RLY201: refused: stdout is closed; sshd starts this program, "
                                 "see relay-authkeys(8)");
        return EXIT_FAILURE;
    }
    while ((opt = getopt_long(argc, argv, "+c:lh", longopts, NULL)) != -1) {
        switch (opt) {
        case 'c':
            conf = optarg;
            break;
        case 'l':
            loopback_only = 1;
            break;
        case 'C':
            return run_check(argv);
        case 'h':
            fputs(USAGE, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("relay-authkeys " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            fputs(USAGE, stderr);
            return 2;
        }
    }
    if (argc - optind != 4) {
        relay_log(RELAY_LOG_ERR,
                  "RLY201: refused: %d arguments instead of 4; sshd_config needs "
                  "`AuthorizedKeysCommand …/relay-authkeys %%u %%f %%t %%k`",
                  argc - optind);
        fputs(USAGE, stderr);
        return 2;
    }
    req = (authkeys_request){argv[optind], argv[optind + 1], argv[optind + 2], argv[optind + 3]};

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&p, NULL) != APR_SUCCESS) {
        relay_log(RELAY_LOG_ERR, "RLY208: no key is accepted: APR cannot start");
        return EXIT_FAILURE;
    }
    status = answer(&req, conf, loopback_only, p);
    apr_pool_destroy(p);
    apr_terminate();
    closelog();
    return status;
}
