/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "find.h"
#include "listeners.h"

#include <dirent.h>
#include <stdlib.h>

#define SLICE_MS 3
/* Where unknown listeners stay unknown the searches must not follow each other closely. */
#define PAUSE_MS 100
#define STRAY_MS 10000 /* a session of nobody knows whom has so long to listen */
#define STRAYS_FIRST_MS 11000
#define STRAYS_EVERY_MS 60000

struct finder {
    DIR *dir;
    struct event *timer, *round;
    int pending;
    int strays; /* this search is for them, too */
};

typedef struct match {
    rlyd *d;
    const proc_info *child;
    session *s;
    int others; /* it is a session, but another relay's */
} match;

static int on_socket(void *baton, int fd, uint32_t inode)
{
    match *m = baton;
    port *p = listeners_unknown(m->d, inode);

    if (!p)
        return 0;
    if (!m->s && !m->others)
        m->s = session_found(m->d, m->child, &m->others);
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

    if ((s && (s->tunnel[0] || s->nports)) || session_by_monitor(d, child->pid) ||
        proc_age_ms(child->start) < STRAY_MS)
        return;
    /* One that listens outside our space is another relay's. */
    if (proc_is_listening(child->pid))
        return;
    s = session_found(d, child, &others);
    if (s && s->state == SESSION_PROVED && !s->tunnel[0] && !s->nports)
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
    if (f->dir) /* a search under way has passed over some */
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
