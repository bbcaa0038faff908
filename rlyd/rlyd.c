/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"

#include "ground/daemon.h"
#include "ground/loop.h"
#include "ground/notify.h"
#include "ground/spawn.h"
#include "ground/sshdconf.h"
#include "ground/sshdtest.h"
#include "ground/store.h"
#include "relay_process.h"
#include "session/admission.h"
#include "wiring.h"

#include <apr_general.h>
#include <apr_getopt.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static const struct {
    char letter;
    const char *name, *argument, *help;
} all_options[] = {
#define BRIEF(text) text
#define OPTION(letter, name, argument, brief, ...) {letter, name, argument, brief},
#include "options.def"
};
#define NOPTIONS (sizeof(all_options) / sizeof(all_options[0]))

static void print_usage(FILE *out)
{
    char words[40];

    fputs(
        "usage: rlyd [-f] [-t] [-c FILE]\n"
        "       rlyd --merge-exec [--] PROGRAM [ARGUMENT...]\n"
        "\n"
        "One per relay host: hands SSH connections to sshd, knows every session and ends it when\n"
        "its grant ends.\n"
        "\n",
        out);
    for (size_t i = 0; i < NOPTIONS; i++) {
        const char *argument = all_options[i].argument;

        snprintf(words, sizeof(words), "--%s%s%s", all_options[i].name, argument ? " " : "",
                 argument ? argument : "");
        fprintf(out, "  -%c, %-16s%s\n", all_options[i].letter, words, all_options[i].help);
    }
    fputs(
        "  --merge-exec        run PROGRAM with samepage merging: for the listening sshd,\n"
        "                      `sshd -D -r'\n"
        "\n"
        "SIGHUP reads the configuration again. SIGTERM stops rlyd; sessions go on, and are found\n"
        "again at the next start.\n",
        out);
}

/** The foreground's log. */
static void log_to_stderr(void *baton, relay_log_level level, const char *line)
{
    static const char *const words[] = {"error: ", "warning: ", "", "", "debug: "};

    if (level < RELAY_LOG_DEBUG)
        fprintf(stderr, "rlyd: %s%s\n", words[level], line);
}

/* ---- configuration */

/** Reads relay.conf and what depends on it; d is changed only when all is well. */
static apr_status_t configure(rlyd *d, apr_pool_t *p, const char **why)
{
    apr_pool_t *pool, *old = d->cfg_pool;
    relay_config *cfg;
    struct passwd *pw;
    apr_status_t rv;

    apr_pool_create(&pool, d->pool);
    if ((rv = relay_config_load(&cfg, d->cfg_path, "rlyd", pool, why)) != APR_SUCCESS)
        goto fail;
    if (!(pw = getpwnam(cfg->user)) || pw->pw_uid == 0) {
        RELAY_WHY(why, p, "%s: [relay] user: %s", cfg->file,
                  apr_psprintf(p, pw ? "%s is root" : "there is no user %s", cfg->user));
        rv = APR_EGENERAL;
        goto fail;
    }
    d->cfg = cfg;
    d->cfg_pool = pool;
    d->tunnel_uid = pw->pw_uid;
    if (old)
        apr_pool_destroy(old);
    return APR_SUCCESS;
fail:
    if (why && *why)
        *why = apr_pstrdup(p, *why);
    apr_pool_destroy(pool);
    return rv;
}

static void report_status(rlyd *d)
{
    char text[128];

    apr_snprintf(text, sizeof(text), "%u sessions, %u logging in, Redis %s", session_count(d),
                 admission_count(d), redis_link_is_ready(store_link(d)) ? "connected" : "away");
    notify_ready(text);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
    rlyd *d = arg;
    const char *why = NULL;
    char text[64];
    apr_pool_t *p;

    apr_pool_create(&p, d->pool);
    apr_snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" APR_INT64_T_FMT,
                 (apr_int64_t)now_ms() * 1000);
    notify_send(text);
    if (configure(d, p, &why) != APR_SUCCESS) {
        relay_log(RELAY_LOG_ERR, "RLY451 not reloaded, the old configuration stays: %s",
                  why ? why : "?");
    }
    else {
        wiring_reload(d, p);
        relay_log(RELAY_LOG_NOTICE, "RLY453 configuration reloaded from %s", d->cfg->file);
    }
    report_status(d);
    apr_pool_destroy(p);
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
    rlyd *d = arg;

    relay_log(RELAY_LOG_NOTICE, "RLY454 stopping (signal %d); %u sessions go on", (int)sig,
              session_count(d));
    d->stopping = 1;
    notify_send("STOPPING=1");
    event_base_loopbreak(d->base);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    notify_send("WATCHDOG=1");
}

static void start_watchdog(rlyd *d)
{
    int64_t ms = notify_watchdog_ms();
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    if (ms)
        event_add(event_new(d->base, -1, EV_PERSIST, on_watchdog, d), &tv);
}

/* ---- running */

static void watch_signal(rlyd *d, int sig, event_callback_fn fn)
{
    event_add(evsignal_new(d->base, sig, fn, d), NULL);
}

/** Takes part in merging, and says what keeps that from saving memory. */
static void merge_pages(const rlyd *d)
{
    char run = '0', path[PATH_MAX];
    int fd;

    if (spawn_merge_pages() < 0) {
        relay_log(RELAY_LOG_WARNING, "RLY456 [rlyd] merge: this kernel cannot merge pages: %s",
                  strerror(errno));
        return;
    }
    if ((fd = open("/sys/kernel/mm/ksm/run", O_RDONLY | O_CLOEXEC)) >= 0) {
        if (read(fd, &run, 1) == 1 && run != '1')
            relay_log(RELAY_LOG_WARNING,
                      "RLY468 [rlyd] merge: the kernel does not merge pages now: "
                      "/sys/kernel/mm/ksm/run is %c",
                      run);
        close(fd);
    }
    if (SSHD_WRAPPED && !sshdconf_value(d->cfg->sshd_config, "SshdSessionPath", path, sizeof(path)))
        relay_log(RELAY_LOG_WARNING, "RLY469 [rlyd] merge: %s has no SshdSessionPath",
                  d->cfg->sshd_config);
}

static apr_status_t start(rlyd *d, apr_pool_t *p, const char **why)
{
    apr_status_t rv;

    if ((rv = daemon_pidfile(d->cfg->rlyd_pidfile, p, why)) != APR_SUCCESS)
        return rv;
    if (loop_make(d) < 0) {
        RELAY_WHY(why, p, "cannot make an event loop: %s", strerror(errno));
        return APR_EGENERAL;
    }
    if (d->cfg->merge)
        merge_pages(d);
    watch_signal(d, SIGHUP, on_hup);
    watch_signal(d, SIGTERM, on_stop);
    watch_signal(d, SIGINT, on_stop);
    start_watchdog(d);
    return wiring_start(d, p, why);
}

static int run(rlyd *d, int foreground)
{
    const char *why = NULL;

    if (!foreground && daemon_start(d->pool, &why) != APR_SUCCESS) {
        fprintf(stderr, "rlyd: %s\n", why);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    if (chdir("/") < 0)
        return 1;
    notify_init();
    daemon_raise_limits();
    if (start(d, d->pool, &why) != APR_SUCCESS) {
        fprintf(stderr, "rlyd: %s\n", why ? why : "cannot start");
        return 1;
    }
    if (!foreground) {
        openlog("rlyd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
        relay_log_install(relay_log_to_syslog, NULL);
    }
    relay_log(RELAY_LOG_NOTICE, "RLY450 rlyd %s for relay %s is ready", PACKAGE_VERSION,
              d->cfg->name);
    sshdtest_start(d, "started");
    report_status(d);
    daemon_is_ready();
    event_base_dispatch(d->base);
    wiring_stop(d);
    daemon_pidfile_remove(d->cfg->rlyd_pidfile);
    /* The sessions go on without rlyd, so nothing is taken apart here. */
    _exit(d->stopping ? 0 : 1);
}

static int merge_exec(char **argv)
{
    if (!argv[0]) {
        print_usage(stderr);
        return 2;
    }
    if (spawn_merge_pages() < 0)
        fprintf(stderr, "rlyd: this kernel cannot merge pages (%s); %s runs without\n",
                strerror(errno), argv[0]);
    execvp(argv[0], argv);
    fprintf(stderr, "rlyd: cannot run %s: %s\n", argv[0], strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    apr_getopt_option_t options[NOPTIONS + 1] = {{NULL, 0, 0, NULL}};
    rlyd d = {.cfg_path = NULL};
    int foreground = 0, test = 0, opt;
    const char *arg, *why = NULL;
    apr_getopt_t *os;
    apr_status_t rv;

    if (argc > 1 && strcmp(argv[1], "--merge-exec") == 0)
        return merge_exec(argv + (argc > 2 && strcmp(argv[2], "--") == 0 ? 3 : 2));
    relay_process_keep_secrets();
    apr_initialize();
    apr_pool_create(&d.pool, NULL);
    relay_log_install(log_to_stderr, NULL);
    for (size_t i = 0; i < NOPTIONS; i++)
        options[i] =
            (apr_getopt_option_t){all_options[i].name, (unsigned char)all_options[i].letter,
                                  all_options[i].argument != NULL, NULL};
    apr_getopt_init(&os, d.pool, argc, (const char *const *)argv);
    while ((rv = apr_getopt_long(os, options, &opt, &arg)) == APR_SUCCESS) {
        if (opt == 'c')
            d.cfg_path = arg;
        foreground |= opt == 'f';
        test |= opt == 't';
        if (opt == 'h') {
            print_usage(stdout);
            return 0;
        }
        if (opt == 'V')
            return puts("rlyd " PACKAGE_VERSION) < 0;
    }
    if (rv != APR_EOF || os->ind < argc) {
        print_usage(stderr);
        return 2;
    }
    if (configure(&d, d.pool, &why) != APR_SUCCESS) {
        fprintf(stderr, "rlyd: %s\n", why);
        return 1;
    }
    if (test && sshdtest_now(d.cfg, d.pool, &why) != APR_SUCCESS) {
        fprintf(stderr, "rlyd: %s\n", why);
        return 1;
    }
    return test ? 0 : run(&d, foreground);
}
