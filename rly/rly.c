/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"
#include "rly.h"
#include "api/way_api.h"
#include "options.h"
#include "relay_log.h"
#include "relay_print.h"
#include "relay_process.h"
#include "way.h"

#include <apr_general.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const rly_command *const rly_commands[] = {&rly_cmd_open,   &rly_cmd_close,  &rly_cmd_extend,
                                           &rly_cmd_show,   &rly_cmd_list,   &rly_cmd_token,
                                           &rly_cmd_code,   &rly_cmd_device, &rly_cmd_relay,
                                           &rly_cmd_events, &rly_cmd_help,   NULL};

static apr_pool_t *message_pool; /* for messages before and beside a command's own work */

const rly_command *rly_command_find(const char *name)
{
    for (int i = 0; rly_commands[i]; i++)
        if (strcmp(rly_commands[i]->name, name) == 0)
            return rly_commands[i];
    return NULL;
}

static void report(const char *fmt, va_list ap)
{
    fprintf(stderr, "rly: %s\n",
            relay_print_clean(apr_pvsprintf(message_pool, fmt, ap), message_pool));
}

void rly_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(fmt, ap);
    va_end(ap);
}

int rly_usage_error(const rly *r, const char *fmt, ...)
{
    va_list ap;

    if (fmt) {
        va_start(ap, fmt);
        report(fmt, ap);
        va_end(ap);
    }
    if (r->command)
        fprintf(stderr, "More: rly help %s\n", r->command->name);
    else
        fputs("More: rly help\n", stderr);
    return RLY_USAGE;
}

int rly_exit_status(apr_status_t rv)
{
    if (rv == APR_SUCCESS)
        return RLY_DONE;
    if (rv == RELAY_EUNREACHABLE || rv == RELAY_EUNCONFIRMED)
        return RLY_UNREACHABLE;
    return rv == RELAY_EINPUT ? RLY_USAGE : RLY_REFUSED;
}

/* A user who can change relay.conf decides which host keys root's bundles pin, and where root's
 * commands go. */
static void warn_of_owner(const char *path)
{
    struct stat st;

    if (geteuid() != 0 || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    if (st.st_uid != 0 || st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && st.st_gid != 0))
        relay_log(RELAY_LOG_WARNING,
                  "RLY360 %s can be changed by others than root (user %lu, group %lu, mode %04o), "
                  "who then "
                  "decide what root does with it: chown root %s && chmod go-w %s",
                  path, (unsigned long)st.st_uid, (unsigned long)st.st_gid,
                  (unsigned)(st.st_mode & 07777), path, path);
}

int rly_connect(rly *r)
{
    const char *path = r->conf_path, *env = getenv("RELAY_CONF"), *why = NULL;
    int over_api, status = rly_api_choose(&over_api, r);

    if (status != RLY_DONE || over_api)
        return status;
    if (!path && env && *env)
        path = env;
    if (relay_config_load(&r->cfg, path, "rly", r->p, &why) != APR_SUCCESS) {
        rly_error("%s", why ? why : "cannot read relay.conf");
        return RLY_REFUSED;
    }
    warn_of_owner(r->cfg->file);
    relay_store_create(&r->store, r->cfg, r->p);
    r->way = &rly_way_redis;
    return RLY_DONE;
}

/* Output has to have arrived: a script that reads half a line must see that rly failed. */
static int flush_output(int status)
{
    int failed = fflush(stdout) != 0, error = errno;

    if (!failed && !ferror(stdout))
        return status;
    if (!failed)
        rly_error("cannot write to standard output");
    else if (error != EPIPE)
        rly_error("cannot write to standard output: %s", strerror(error));
    return status > RLY_REFUSED ? status : RLY_REFUSED;
}

/* An option that may stand before the command, with its argument.
 * @return how many arguments it takes up; 0: it is none; -1: its argument is missing */
static int leading_option(rly *r, const char *const *argv, int left)
{
    const struct {
        char letter;
        const char *name;
        const char **value;
    } options[] = {{'c', "--config", &r->conf_path},
                   {'A', "--api", &r->api_url},
                   {'C', "--cacert", &r->cacert}};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        size_t len = strlen(options[i].name);
        int is_letter = argv[0][0] == '-' && argv[0][1] == options[i].letter;

        if (strcmp(argv[0], options[i].name) == 0 || (is_letter && !argv[0][2])) {
            if (left < 2)
                return -1;
            *options[i].value = argv[1];
            return 2;
        }
        if (strncmp(argv[0], options[i].name, len) == 0 && argv[0][len] == '=')
            *options[i].value = argv[0] + len + 1;
        else if (is_letter)
            *options[i].value = argv[0] + 2;
        else
            continue;
        return 1;
    }
    return 0;
}

static int no_command(rly *r)
{
    const char *all = "";

    for (int i = 0; rly_commands[i]; i++)
        all = apr_pstrcat(r->p, all, *all ? ", " : "", rly_commands[i]->name, NULL);
    return rly_usage_error(r, "a command is missing: %s", all);
}

/* Takes options before the command, as git and others do. */
static int run(rly *r, int argc, const char *const *argv)
{
    const char **rest;
    int i, taken;

    for (i = 1; i < argc && argv[i][0] == '-'; i += taken) {
        if (strcmp(argv[i], "--version") == 0) {
            puts("rly (" PACKAGE_NAME ") " PACKAGE_VERSION);
            return RLY_DONE;
        }
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            r->command = &rly_cmd_help;
            return rly_cmd_help.run(r, 1, argv);
        }
        if ((taken = leading_option(r, argv + i, argc - i)) <= 0)
            return rly_usage_error(
                r, taken ? "%s needs an argument" : "there is no option %s before the command",
                argv[i]);
    }
    if (i == argc)
        return no_command(r);
    if ((r->command = rly_command_find(argv[i])) == NULL)
        return rly_usage_error(r, "there is no command `%s'", argv[i]);

    rest = apr_pmemdup(r->p, argv + i, sizeof(*rest) * (apr_size_t)(argc - i));
    rest[0] = "rly";
    return r->command->run(r, argc - i, rest);
}

int main(int argc, const char *const *argv)
{
    static char program[] = "rly";
    rly r = {.p = NULL};
    int status;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&message_pool, NULL) != APR_SUCCESS ||
        apr_pool_create(&r.p, NULL) != APR_SUCCESS) {
        fputs("rly: cannot start: out of memory\n", stderr);
        return RLY_REFUSED;
    }
    atexit(apr_terminate);
    /* A reader that went away and a full quota are errors that rly reports; it does not die of
     * them. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    relay_process_keep_secrets();
    relay_log_install(relay_log_to_stderr, program);
    status = flush_output(run(&r, argc, argv));
    apr_pool_destroy(r.p); /* forgets private keys */
    return status;
}
