/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Signals go to a process only through a pidfd, and only after everything that makes it the
 * session's was read while that pidfd was open: its start time, its parent, its uids, its program.
 * A pid that has been used again fails this.
 */

#include "session.h"
#include "listeners.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
    /* Before the login is complete the monitor has a child that speaks with the network, under
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

typedef struct releasing {
    session *s;
    int pidfd;
} releasing;

static int release_one(void *baton, int fd, uint32_t inode)
{
    releasing *r = baton;
    struct stat st;
    int copy;

    if (!listeners_is_held(r->s, inode) || (copy = proc_pidfd_getfd(r->pidfd, fd)) < 0)
        return 0;
    /* A listener that is shut down leaves the kernel's table at once (tcp_set_state()), whoever
     * still has it open. */
    if (fstat(copy, &st) == 0 && st.st_ino == inode)
        shutdown(copy, SHUT_RDWR);
    close(copy);
    return 0;
}

void ending_release(session *s)
{
    releasing r = {.s = s};

    if (!s->nports || (r.pidfd = ending_open_child(s)) < 0)
        return;
    proc_each_socket(s->child, release_one, &r);
    close(r.pidfd);
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

int ending_is_alive(const session *s)
{
    return proc_is_alive(s->monitor, s->monitor_start) ||
           (s->child && proc_is_alive(s->child, s->child_start));
}

void ending_step(session *s)
{
    int64_t since = now_ms() - s->ending_ms;

    if (!ending_is_alive(s)) {
        session_gone(s);
        return;
    }
    if (since >= KILL_AFTER_MS) {
        s->killed = 1;
        ending_signal(s, SIGKILL);
    }
    if (since >= STUCK_MS && since < STUCK_MS + 1000)
        relay_log(RELAY_LOG_ERR, "RLY422 tunnel %s: process %d does not end", s->tunnel,
                  (int)s->monitor);
    timer_arm(s->timer, since >= STUCK_MS ? 1000 : STEP_MS);
}
