/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "ending.h"
#include "ground/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CHILDREN_MAX 16
#define KILL_AFTER_MS 200
#define STEP_MS 10
#define STUCK_MS 5000

static int is_monitor(const session *s, const proc_info *p)
{
    return p->start == s->monitor_start && p->ruid == getuid();
}

static int is_child(const session *s, const proc_info *p)
{
    if (p->pid == s->child && p->start == s->child_start)
        return p->ruid == s->uid && p->euid == s->uid &&
               (p->ppid == s->monitor || s->monitor == s->child ||
                !proc_is_alive(s->monitor, s->monitor_start));
    /* Until the login is complete another child of the monitor speaks with the network, under
     * sshd's own user. */
    return p->ppid == s->monitor;
}

int ending_open_child(const session *s)
{
    int pidfd = proc_pidfd_open(s->child);
    proc_info info;

    if (pidfd < 0)
        return -1;
    if (proc_read(s->child, &info) == 0 && is_child(s, &info) &&
        proc_is_sshd(s->child, s->d->cfg->sshd))
        return pidfd;
    close(pidfd);
    return -1;
}

/** @return 1 when the process is there and is the session's */
static int signal_one(const session *s, pid_t pid,
                      int (*is_ours)(const session *, const proc_info *), int sig)
{
    int pidfd = proc_pidfd_open(pid), ours;
    proc_info info;

    if (pidfd < 0) {
        if (errno != ESRCH)
            relay_log(RELAY_LOG_ERR, "RLY421 tunnel %s: cannot signal process %d: %s", s->tunnel,
                      (int)pid, strerror(errno));
        return 0;
    }
    ours = proc_read(pid, &info) == 0 && info.state != 'Z' && is_ours(s, &info) &&
           proc_is_sshd(pid, s->d->cfg->sshd);
    if (ours && sig && proc_pidfd_signal(pidfd, sig) < 0 && errno != ESRCH)
        relay_log(RELAY_LOG_ERR, "RLY421 tunnel %s: cannot signal process %d: %s", s->tunnel,
                  (int)pid, strerror(errno));
    close(pidfd);
    return ours;
}

int ending_signal(session *s, int sig)
{
    pid_t children[CHILDREN_MAX];
    int i, there = 0, n = 0, saw_child = 0;

    if (s->monitor != s->child && proc_is_alive(s->monitor, s->monitor_start))
        n = proc_children(s->monitor, children, CHILDREN_MAX);
    /* The child first: it holds the listeners. */
    for (i = 0; i < n; i++) {
        there += signal_one(s, children[i], is_child, sig);
        saw_child |= children[i] == s->child;
    }
    if (s->child && !saw_child)
        there += signal_one(s, s->child, is_child, sig);
    if (s->monitor != s->child)
        there += signal_one(s, s->monitor, is_monitor, sig);
    return there;
}

static int is_alive(const session *s)
{
    return proc_is_alive(s->monitor, s->monitor_start) ||
           (s->child && proc_is_alive(s->child, s->child_start));
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    session *s = arg;
    int64_t since = now_ms() - s->ending.since_ms;

    if (!is_alive(s)) {
        session_gone(s);
        return;
    }
    if (since >= KILL_AFTER_MS) {
        s->ending.killed = 1;
        ending_signal(s, SIGKILL);
    }
    if (since >= STUCK_MS && since < STUCK_MS + 1000)
        relay_log(RELAY_LOG_ERR, "RLY422 tunnel %s: process %d does not end", s->tunnel,
                  (int)s->monitor);
    timer_arm(s->ending.timer, since >= STUCK_MS ? 1000 : STEP_MS);
}

void ending_begin(session *s)
{
    s->ending.since_ms = now_ms();
    ending_signal(s, SIGTERM);
    s->ending.timer = timer_new(s->d, on_step, s);
    timer_arm(s->ending.timer, STEP_MS);
}

void ending_over(session *s)
{
    timer_free(s->ending.timer);
    s->ending.timer = NULL;
}
