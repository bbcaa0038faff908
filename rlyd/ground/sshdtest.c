/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshdtest.h"
#include "loop.h"
#include "spawn.h"
#include "sshdconf.h"

#include <errno.h>
#include <poll.h>
#include <shadow.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 10000
#define REAP_EVERY_MS 10
#define SAID_MAX 1000
#define AGAIN_MS 30000
#define SUDDEN_MS 2000 /* an sshd that a mistake ends has waited for nobody */

/** One `sshd -t`. */
typedef struct test {
    pid_t pid; /* 0: none runs */
    int fd;    /* its standard error; -1 once that is closed */
    int64_t until_ms;
    char said[SAID_MAX];
    size_t len;
} test;

struct sshdtest {
    test now;
    struct event *readable, *timer;
    const char *prompted;
    int again; /* the directory was made: a second look */
    int64_t gate, signal_gate;
};

/* ---- the account */

static int is_yes(const char *config, const char *keyword)
{
    char value[16];

    return sshdconf_value(config, keyword, value, sizeof(value)) && strcasecmp(value, "yes") == 0;
}

/** Reads the user's entry from the host's own file: a directory server could take its time. */
static const struct spwd *shadow_of(const char *user)
{
    FILE *f = fopen("/etc/shadow", "re");
    const struct spwd *sp = NULL;

    if (!f)
        return NULL;
    do
        sp = fgetspent(f);
    while (sp && strcmp(sp->sp_namp, user) != 0);
    fclose(f);
    return sp;
}

const char *sshdtest_account(const relay_config *cfg)
{
    static char text[300];
    const struct spwd *sp = shadow_of(cfg->user);

    /* sshd looks at the account only without PAM (auth.c, allowed_user()). */
    if (!sp || is_yes(cfg->sshd_config, "UsePAM"))
        return NULL;
    if (sp->sp_pwdp && *sp->sp_pwdp == '!')
        snprintf(text, sizeof(text),
                 "user %s is locked (its shadow field begins with `!`), and sshd refuses its every "
                 "login: "
                 "usermod -p '*' %s",
                 cfg->user, cfg->user);
    else if (sp->sp_expire > 0 && time(NULL) / 86400 > sp->sp_expire)
        snprintf(text, sizeof(text),
                 "the account of user %s has expired, and sshd refuses its every login: usermod -e "
                 "'' %s",
                 cfg->user, cfg->user);
    else
        return NULL;
    return text;
}

/* ---- one test */

static int begin(test *t, const relay_config *cfg)
{
    int err;

    t->len = 0;
    t->until_ms = now_ms() + WAIT_MS;
    if ((err = spawn_sshd_test(cfg, &t->fd, &t->pid)) != 0) {
        t->pid = 0;
        t->fd = -1;
    }
    return err;
}

/** Takes what it has said. @return 1 while there may be more */
static int take(test *t)
{
    char rest[256];
    ssize_t n;

    for (;;) {
        size_t room = sizeof(t->said) - 1 - t->len;

        n = room ? read(t->fd, t->said + t->len, room) : read(t->fd, rest, sizeof(rest));
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        if (room)
            t->len += (size_t)n;
    }
}

/** On one line, for a log; what cannot be printed as `?`. */
static const char *told(test *t)
{
    size_t i;

    while (t->len && (t->said[t->len - 1] == '\n' || t->said[t->len - 1] == '\r'))
        t->len--;
    t->said[t->len] = '\0';
    for (i = 0; i < t->len; i++) {
        if (t->said[i] == '\n')
            t->said[i] = ';';
        else if (t->said[i] == '\r')
            t->said[i] = ' ';
        else if (t->said[i] < 0x20 || t->said[i] == 0x7f)
            t->said[i] = '?';
    }
    return t->len ? t->said : "it says nothing";
}

/** Ends it. @return its status, or -1: it did not end in time */
static int end(test *t)
{
    int status, late = waitpid(t->pid, &status, WNOHANG) != t->pid;

    if (late) {
        kill(t->pid, SIGKILL); /* it is our child, and not reaped: nobody else has its pid */
        waitpid(t->pid, &status, 0);
    }
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->pid = 0;
    return late ? -1 : status;
}

static void describe(test *t, const relay_config *cfg, int status, char *text, size_t size)
{
    if (status == -1)
        snprintf(text, size, "`%s -t -f %s` does not end: %s", cfg->sshd, cfg->sshd_config,
                 told(t));
    else if (WIFSIGNALED(status))
        snprintf(text, size, "`%s -t -f %s` was ended by signal %d: %s", cfg->sshd,
                 cfg->sshd_config, WTERMSIG(status), told(t));
    else
        snprintf(text, size, "`%s -t -f %s` fails with status %d: %s", cfg->sshd, cfg->sshd_config,
                 WEXITSTATUS(status), told(t));
}

static int wait_now(test *t)
{
    struct timespec pause = {.tv_nsec = REAP_EVERY_MS * 1000000L};
    siginfo_t info;

    for (;;) {
        int64_t left = t->until_ms - now_ms();
        struct pollfd pfd = {.fd = t->fd, .events = POLLIN};

        if (left <= 0)
            return end(t);
        if (t->fd >= 0 && poll(&pfd, 1, (int)left) > 0 && !take(t)) {
            close(t->fd);
            t->fd = -1;
        }
        info.si_pid = 0;
        if (t->fd < 0 && waitid(P_PID, (id_t)t->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid)
            return end(t);
        if (t->fd < 0)
            nanosleep(&pause, NULL);
    }
}

apr_status_t sshdtest_now(const relay_config *cfg, apr_pool_t *p, const char **why)
{
    char text[SAID_MAX + 700];
    const char *account = sshdtest_account(cfg);
    int tries, status = 0;
    test t = {.fd = -1};

    spawn_make_directory();
    for (tries = 0; tries < 2; tries++) {
        int err = begin(&t, cfg);

        if (err) {
            RELAY_WHY(why, p, "[rlyd] sshd: cannot start %s: %s", cfg->sshd, strerror(err));
            return APR_EGENERAL;
        }
        if ((status = wait_now(&t)) == 0)
            break;
        describe(&t, cfg, status, text, sizeof(text));
        if (!spawn_learn_directory(t.said))
            break;
    }
    if (status != 0 || account) {
        RELAY_WHY(why, p, "%s", status ? text : account);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* ---- in the background */

static void finish(rlyd *d)
{
    struct sshdtest *s = d->sshdtest;
    char text[SAID_MAX + 700];
    int status;

    event_del(s->readable);
    event_free(s->readable);
    s->readable = NULL;
    status = end(&s->now);
    if (status == 0)
        return;
    describe(&s->now, d->cfg, status, text, sizeof(text));
    if (spawn_learn_directory(s->now.said) && !s->again++)
        sshdtest_start(d, s->prompted);
    else
        relay_log(RELAY_LOG_ERR, "RLY463 %s: no device can log in: %s", s->prompted, text);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct sshdtest *s = d->sshdtest;
    siginfo_t info = {.si_pid = 0};

    if (!s->now.pid)
        return;
    if (now_ms() < s->now.until_ms &&
        waitid(P_PID, (id_t)s->now.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid)
        timer_arm(s->timer, REAP_EVERY_MS);
    else
        finish(d);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct sshdtest *s = d->sshdtest;

    if (!(what & EV_TIMEOUT) && take(&s->now))
        return;
    event_del(s->readable);
    timer_arm(s->timer, 0);
}

void sshdtest_start(rlyd *d, const char *prompted)
{
    const struct timeval most = {.tv_sec = WAIT_MS / 1000};
    struct sshdtest *s = d->sshdtest;
    const char *account = sshdtest_account(d->cfg);
    int err;

    if (s->now.pid)
        return;
    s->prompted = prompted;
    if (account)
        relay_log(RELAY_LOG_ERR, "RLY465 %s", account);
    spawn_make_directory();
    if ((err = begin(&s->now, d->cfg)) != 0) {
        relay_log(RELAY_LOG_ERR, "RLY463 %s: no device can log in: cannot start %s: %s", prompted,
                  d->cfg->sshd, strerror(err));
        return;
    }
    s->readable = event_new(d->base, s->now.fd, EV_READ | EV_PERSIST, on_readable, d);
    if (!s->readable || event_add(s->readable, &most) < 0)
        abort();
}

void sshdtest_ended(rlyd *d, const char *peer, int status, int64_t lasted_ms)
{
    struct sshdtest *s = d->sshdtest;

    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM && gate_open(&s->signal_gate, 1000))
        relay_log(RELAY_LOG_ERR,
                  "RLY466 the sshd for %s was ended by signal %d before anybody had logged in; its "
                  "log may say more",
                  peer, WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && lasted_ms < SUDDEN_MS &&
             gate_open(&s->gate, AGAIN_MS)) {
        s->again = 0;
        sshdtest_start(d, "an sshd has ended with an error");
    }
}

void sshdtest_init(rlyd *d)
{
    d->sshdtest = apr_pcalloc(d->pool, sizeof(*d->sshdtest));
    d->sshdtest->now.fd = -1;
    d->sshdtest->timer = timer_new(d, on_timer, d);
}
