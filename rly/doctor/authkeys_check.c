/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay-authkeys-check: the program that `relay-authkeys --check` runs. It tells a person whether a
 * key is granted and why not, and prints the line that sshd would get. As root it first checks what
 * sshd demands of the host. Then it goes on as the user that sshd runs relay-authkeys as, and so
 * meets the same missing rights.
 *
 * Exit status: 0 granted, 1 not granted, 2 usage, 3 Redis cannot be reached.
 */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "authkeys.h"
#include "hostcheck.h"
#include "relay_key.h"
#include "relay_log.h"
#include "relay_tunnel.h"
#include "sshdcommand.h"

#define EXIT_GRANTED 0
#define EXIT_NOT_GRANTED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 3

/* The longest search for what became of a key, in steps of about 1000 keys of Redis's. */
#define SEARCH_STEPS_MAX 2000

static const char *when(apr_time_t t, apr_pool_t *p)
{
    char text[64];
    apr_time_exp_t x;
    apr_size_t len;

    apr_time_exp_lt(&x, t);
    apr_strftime(text, &len, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &x);
    return apr_pstrdup(p, text);
}

/* The question as it was asked, and what was found out for it. */
typedef struct checking {
    apr_pool_t *p;
    const char *conf;  /* -c, or what sshd gives to relay-authkeys; NULL: the default */
    int loopback_only; /* -l, likewise */
    const char *sshd_config;
    sshd_command command;
    const char *own_program; /* relay-authkeys beside this one */
} checking;

/* Without -c, relay.conf is the file that sshd's configuration gives to relay-authkeys. The default
 * relay.conf names sshd's configuration; without one it is the installation's. */
static void find_conf(checking *c)
{
    relay_config *cfg = NULL;
    const char *trouble;

    if (c->conf && relay_config_load(&cfg, c->conf, AUTHKEYS_PART, c->p, NULL) == APR_SUCCESS)
        c->sshd_config = cfg->sshd_config;
    if (c->conf)
        return;
    if (relay_config_load(&cfg, NULL, AUTHKEYS_PART, c->p, NULL) == APR_SUCCESS)
        c->sshd_config = cfg->sshd_config;
    sshd_command_read(&c->command, c->sshd_config, cfg ? cfg->user : "relay", c->p, &trouble);
    c->loopback_only |= c->command.loopback_only;
    c->conf = c->command.conf;
    if (c->conf)
        printf("relay.conf is %s, as sshd is told in %s, line %d.\n", c->conf, c->command.file,
               c->command.line);
}

/* Finds out the program that sshd runs, and its user. @return whether sshd runs anything */
static int find_command(checking *c, const relay_config *cfg, const char **program,
                        const char **user)
{
    const char *trouble;

    sshd_command_read(&c->command, c->sshd_config, cfg->user, c->p, &trouble);
    *program = c->command.program;
    *user = !c->command.user                     ? AUTHKEYS_USER
            : strcmp(c->command.user, "%u") == 0 ? cfg->user
                                                 : c->command.user;
    if (!c->command.file && trouble) {
        printf("(Which program sshd runs is not known: %s. [rlyd] sshd-config in %s names sshd's "
               "configuration.)\n",
               trouble, cfg->file);
        *program = c->own_program;
        return 1;
    }
    if (!*program) {
        printf("sshd asks nobody which keys user %s has: %s has no AuthorizedKeysCommand for that "
               "user.\n",
               cfg->user, c->sshd_config);
        return 0;
    }
    if (!c->command.user)
        printf("sshd does not start: %s has an AuthorizedKeysCommand, but no "
               "AuthorizedKeysCommandUser.\n",
               c->sshd_config);
    if (c->command.conf && c->conf && strcmp(c->command.conf, c->conf) != 0)
        printf("(sshd itself gives relay-authkeys another relay.conf, %s: %s, line %d.)\n",
               c->command.conf, c->command.file, c->command.line);
    return c->command.user != NULL;
}

/* Checks the host, and complains about all that is wrong, not only the first. Becomes the user that
 * sshd runs the command as, for good. @return whether sshd can run it */
static int host_is_right(checking *c, const relay_config *cfg)
{
    const char *why = NULL, *program, *user;
    int right = find_command(c, cfg, &program, &user);

    if (hostcheck_login(cfg->user, c->p, &why) != APR_SUCCESS) {
        printf("No device can log in: %s.\n", why);
        right = 0;
    }
    if (hostcheck_penalties(cfg->sshd, c->sshd_config, c->p, &why) != APR_SUCCESS)
        printf("Note: %s.\n", why);
    if (hostcheck_become(user, c->p, &why) != APR_SUCCESS) {
        printf("sshd cannot run relay-authkeys: %s.\n", why);
        return 0;
    }
    if (program && hostcheck_program(program, user, cfg->sshd, c->p, &why) != APR_SUCCESS) {
        printf("sshd will not run %s: %s.\n", program, why);
        right = 0;
    }
    return right;
}

static const char *own_program(apr_pool_t *p)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return NULL;
    self[n] = '\0';
    return apr_pstrcat(p, dirname(self), "/relay-authkeys", NULL);
}

/* The newer of a tunnel and the one with this id, if that has the key. */
static relay_tunnel *newer(relay_tunnel *tunnel, relay_store *store, const char *id,
                           const char *fingerprint, apr_pool_t *p)
{
    const char *get[] = {"HGET", relay_store_key(store, p, RELAY_KEYNAME_TUNNEL, id), "key"};
    relay_tunnel *found = NULL;
    redisReply *key;
    int same;

    if (relay_store_command(store, &key, 3, get, NULL, p, NULL) != APR_SUCCESS)
        return tunnel;
    same = key->type == REDIS_REPLY_STRING && strcmp(key->str, fingerprint) == 0;
    freeReplyObject(key);
    if (!same || relay_tunnel_find(&found, store, id, p, NULL) != APR_SUCCESS)
        return tunnel;
    return !tunnel || found->created > tunnel->created ? found : tunnel;
}

/* Finds the last tunnel of a key that is not granted, among those that ended less than a day ago.
 */
static relay_tunnel *last_tunnel(relay_store *store, const char *fingerprint, apr_pool_t *p)
{
    const char *pattern = relay_store_key(store, p, RELAY_KEYNAME_TUNNEL, "*");
    const char *scan[] = {"SCAN", "0", "MATCH", pattern, "COUNT", "1000"};
    size_t prefix = strlen(pattern) - 1, i;
    relay_tunnel *tunnel = NULL;
    redisReply *page;
    int steps;

    for (steps = 0; steps < SEARCH_STEPS_MAX; steps++) {
        /* This Redis user may have no right to search; then nothing more is known. */
        if (relay_store_command(store, &page, 6, scan, NULL, p, NULL) != APR_SUCCESS)
            break;
        if (page->type == REDIS_REPLY_ARRAY && page->elements == 2 && page->element[0]->str) {
            for (i = 0; i < page->element[1]->elements; i++)
                tunnel = newer(tunnel, store, page->element[1]->element[i]->str + prefix,
                               fingerprint, p);
            scan[1] = apr_pstrdup(p, page->element[0]->str);
        }
        else {
            scan[1] = "0";
        }
        freeReplyObject(page);
        if (strcmp(scan[1], "0") == 0)
            break;
    }
    return tunnel;
}

static void explain_absence(relay_store *store, const char *fingerprint, apr_pool_t *p)
{
    const relay_tunnel *tunnel = last_tunnel(store, fingerprint, p);

    if (!tunnel)
        puts("No tunnel is known for this key: none was opened for it, or it ended more than a day "
             "ago.");
    else if (strcmp(tunnel->state, "closed") == 0)
        printf("Its tunnel %s was closed at %s.\n", tunnel->id, when(tunnel->ended, p));
    else if (strcmp(tunnel->state, "expired") == 0)
        printf("Its tunnel %s expired at %s.\n", tunnel->id, when(tunnel->expires, p));
    else
        printf("Its tunnel %s is %s, but its grant is missing from Redis: close it and open "
               "another.\n",
               tunnel->id, tunnel->state);
}

/* Looks the grant up and says the result. @return the exit status */
static int explain(const relay_config *cfg, const char *fingerprint, const char *public_line,
                   int loopback_only, apr_pool_t *p)
{
    const char *why = NULL;
    relay_store *store = NULL;
    relay_grant grant;
    apr_status_t rv;

    relay_store_create(&store, cfg, p);
    rv = authkeys_grant_find(&grant, store, cfg, fingerprint, p, &why);
    switch (rv) {
    case APR_SUCCESS:
        printf("Granted: tunnel %s, login name %s, until %s. sshd gets the line\n", grant.tunnel,
               cfg->user, when(grant.expires, p));
        printf("%s %s\n", authkeys_options(&grant, loopback_only, p),
               public_line ? public_line : "TYPE BASE64");
        return EXIT_GRANTED;
    case RELAY_ENOTFOUND:
        printf("Not granted: Redis has no grant for %s.\n", fingerprint);
        explain_absence(store, fingerprint, p);
        return EXIT_NOT_GRANTED;
    case RELAY_EREFUSED:
        printf("Not granted here: %s. The device must connect to that relay.\n", why);
        return EXIT_NOT_GRANTED;
    case RELAY_EUNREACHABLE:
        printf("Not granted now: %s. Until Redis answers no device can log in.\n", why);
        return EXIT_UNREACHABLE;
    default:
        printf("Not granted: %s.\n", why);
        if (grant.tunnel)
            puts("If relay.conf was changed since the tunnel was opened, close it and open "
                 "another.");
        return EXIT_NOT_GRANTED;
    }
}

/* Does all of --check. @param what a fingerprint, or the path of a public key.
 * @return the exit status */
static int check(const char *what, checking *c)
{
    const char *why = NULL, *public_line = NULL, *fingerprint = what;
    relay_config *cfg = NULL;
    relay_key *key = NULL;
    int right = 1, status;

    if (!relay_fingerprint_is_valid(what)) {
        if (relay_key_read(&key, what, c->p, &why) != APR_SUCCESS) {
            fprintf(stderr,
                    "relay-authkeys: neither a fingerprint (SHA256:…) nor a public key that can be "
                    "used: %s\n",
                    why);
            return EXIT_USAGE;
        }
        fingerprint = key->fingerprint;
        public_line = key->public_line;
        printf("The key is %s.\n", fingerprint);
    }
    find_conf(c);
    if (relay_config_load(&cfg, c->conf, AUTHKEYS_PART, c->p, &why) != APR_SUCCESS) {
        printf("Not granted: no key is accepted while relay.conf cannot be used: %s.\n", why);
        return EXIT_NOT_GRANTED;
    }
    if (geteuid() == 0) {
        right = host_is_right(c, cfg);
        if (geteuid() != 0 &&
            relay_config_load(&cfg, c->conf, AUTHKEYS_PART, c->p, &why) != APR_SUCCESS) {
            printf("Not granted: user %s cannot use relay.conf: %s.\n",
                   c->command.user ? c->command.user : AUTHKEYS_USER, why);
            return EXIT_NOT_GRANTED;
        }
    }
    else {
        puts("(Run as root, this also checks what sshd demands of the program and of its user.)");
    }
    status = explain(cfg, fingerprint, public_line, c->loopback_only, c->p);
    if (status == EXIT_GRANTED && !right) {
        puts("But sshd will not let it in before what is named above is mended.");
        status = EXIT_NOT_GRANTED;
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {{"check", no_argument, NULL, 'C'}, {NULL, 0, NULL, 0}};
    checking c = {.sshd_config = RELAY_SYSCONFDIR "/relay/sshd_config"};
    int opt, status;

    while ((opt = getopt_long(argc, argv, "c:l", longopts, NULL)) != -1) {
        if (opt == 'c')
            c.conf = optarg;
        else if (opt == 'l')
            c.loopback_only = 1;
        else if (opt != 'C')
            return EXIT_USAGE;
    }
    if (argc - optind != 1) {
        fputs("usage: relay-authkeys [-c FILE] [-l] --check FINGERPRINT|PUBKEYFILE\n", stderr);
        return EXIT_USAGE;
    }
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&c.p, NULL) != APR_SUCCESS) {
        fputs("relay-authkeys: APR cannot start\n", stderr);
        return EXIT_NOT_GRANTED;
    }
    relay_log_install(relay_log_to_stderr, (void *)"relay-authkeys");
    c.own_program = own_program(c.p);
    status = check(argv[optind], &c);
    if (fflush(stdout) || ferror(stdout)) {
        perror("relay-authkeys: stdout");
        status = EXIT_NOT_GRANTED;
    }
    apr_pool_destroy(c.p);
    apr_terminate();
    return status;
}
