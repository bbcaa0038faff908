/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "find.h"
#include "ground/loop.h"
#include "ground/connector.h"
#include "listeners.h"
#include "proof.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_MS 3
/* Unknown listeners may stay unknown: then searches must not follow each other closely. */
#define PAUSE_MS 100
#define STRAY_MS 10000 /* a session whose owner nobody knows has so long to begin to listen */
#define STRAYS_FIRST_MS 11000
#define STRAYS_EVERY_MS 60000

struct finder {
    DIR *dir;
    struct event *timer, *round;
    int pending;
    int strays; /* this search is for strays, too */
};

typedef struct match {
    rlyd *d;
    const proc_info *child;
    session *s;
    int others; /* it is a session, but another relay's */
} match;

static int is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/**
 * Whether a monitor with that parent can be ours. Two relays on one host may use the same user and
 * listen space by mistake. Neither must end the other's sessions.
 */
static int is_our_parent(rlyd *d, pid_t parent)
{
    char config[PATH_MAX];

    if (proc_is_sshd(parent, d->cfg->sshd))
        return !proc_sshd_config(parent, config, sizeof(config)) ||
               is_same_file(config, d->cfg->sshd_config);
    return parent == getpid() || !proc_is_program(parent, "rlyd");
}

/** The session of processes that nobody reported; makes it where need be. */
static session *adopt(rlyd *d, const proc_info *child, int *others)
{
    proc_info monitor;
    session *s;

    if (proc_read(child->ppid, &monitor) < 0 || monitor.ruid != getuid() ||
        !proc_is_sshd(monitor.pid, d->cfg->sshd)) {
        /* A child whose monitor has died is still a session. */
        s = session_by_monitor(d, child->pid);
        return s && s->monitor_start == child->start ? s
                                                     : session_adopted(d, child, child, WAY_DIRECT);
    }
    if (!is_our_parent(d, monitor.ppid)) {
        *others = 1;
        return NULL;
    }
    return session_adopted(d, &monitor, child,
                           proc_is_sshd(monitor.ppid, d->cfg->sshd) ? WAY_LISTENING : WAY_DIRECT);
}

/**
 * The session of a process of the tunnel user's; finds or makes it.
 * @param others out: set to 1 when it is a session, but one of another sshd's or rlyd's
 * @return NULL if it is none of ours
 */
static session *session_with(rlyd *d, const proc_info *child, int *others)
{
    session *s;
    uint64_t id;

    connector_drain(d); /* logins have to be taken in the order in which they succeeded */
    s = session_by_monitor(d, child->ppid);
    if (child->euid != d->tunnel_uid || child->ruid != d->tunnel_uid ||
        !proc_is_sshd(child->pid, d->cfg->sshd))
        return NULL;
    if (s && s->state < SESSION_PROVED && proc_is_alive(s->monitor, s->monitor_start)) {
        id = s->id;
        proof_succeeded(s, child);
        return session_by_id(d, id);
    }
    if (s && s->child == child->pid && s->child_start == child->start)
        return s;
    return adopt(d, child, others);
}

static int on_socket(void *baton, int fd, uint32_t inode)
{
    match *m = baton;
    port *p = listeners_unknown(m->d, inode);

    if (!p)
        return 0;
    if (!m->s && !m->others)
        m->s = session_with(m->d, m->child, &m->others);
    if (m->others && (p = listeners_unknown(m->d, inode)))
        listeners_disown(m->d, p);
    if (!m->s)
        return !m->others;
    /* It may have been claimed while the session was made. */
    if ((p = listeners_unknown(m->d, inode)))
        listeners_claim(m->d, p, m->s);
    return 0;
}

static void end_stray(rlyd *d, const proc_info *child)
{
    session *s = session_by_monitor(d, child->ppid);
    int others = 0;

    if ((s && (s->tunnel[0] || s->listeners.count)) || session_by_monitor(d, child->pid) ||
        proc_age_ms(child->start) < STRAY_MS)
        return;
    /* A session that listens outside our space is another relay's. */
    if (proc_is_listening(child->pid))
        return;
    s = session_with(d, child, &others);
    if (s && s->state == SESSION_PROVED && !s->tunnel[0] && !s->listeners.count)
        session_end(s, "nobody reported its key, and it listens nowhere");
}

static void look_at(rlyd *d, pid_t pid)
{
    proc_info info;
    match m = {.d = d, .child = &info};

    if (proc_read(pid, &info) < 0 || info.euid != d->tunnel_uid || info.state == 'Z')
        return;
    if (listeners_unknowns(d))
        proc_each_socket(pid, on_socket, &m);
    if (d->finder->strays)
        end_stray(d, &info);
}

static void on_slice(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct finder *f = d->finder;
    int64_t until = now_ms() + SLICE_MS;
    struct dirent *entry;

    if (!f->dir && !(f->dir = opendir("/proc"))) {
        timer_arm(f->timer, 1000);
        return;
    }
    while ((f->strays || listeners_unknowns(d)) && (entry = readdir(f->dir))) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid > 0)
            look_at(d, pid);
        if (now_ms() >= until) {
            timer_arm(f->timer, 0);
            return;
        }
    }
    closedir(f->dir);
    f->dir = NULL;
    f->pending = f->strays = 0;
    listeners_searched(d);
}

static void on_round(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct finder *f = d->finder;

    timer_arm(f->round, STRAYS_EVERY_MS);
    if (f->dir) /* a search under way has passed over some strays */
        closedir(f->dir);
    f->dir = NULL;
    f->strays = f->pending = 1;
    timer_arm(f->timer, 1);
}

void find_init(rlyd *d)
{
    d->finder = apr_pcalloc(d->pool, sizeof(*d->finder));
    d->finder->timer = timer_new(d, on_slice, d);
    d->finder->round = timer_new(d, on_round, d);
    timer_arm(d->finder->round, STRAYS_FIRST_MS);
}

void find_start(rlyd *d)
{
    if (d->finder->pending)
        return;
    d->finder->pending = 1;
    timer_arm(d->finder->timer, listeners_are_settled(d) ? PAUSE_MS : 1);
}
