/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "session.h"
#include "ground/daemon.h"
#include "ground/loop.h"
#include "ground/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct machine {
    const session_hooks *hooks;
    unsigned unwatched; /* sessions without a pidfd */
};

/* ---- the states */

#define TO(state) (1U << SESSION_##state)

/** What may follow what. A session may be gone from every state. */
static const unsigned may_follow[] = {
    [SESSION_STARTED] = TO(OFFERED) | TO(PROVED),
    [SESSION_OFFERED] = TO(OFFERED) | TO(PROVED), /* offered again: another key */
    [SESSION_PROVED] = TO(ENDING),
    [SESSION_ENDING] = 0,
};

static int may_become(const session *s, session_state next)
{
    return may_follow[s->state] >> next & 1;
}

/** The only place where a state changes. @return 0 when it may not */
static int become(session *s, session_state next)
{
    if (!may_become(s, next))
        return 0;
    if (s->state == SESSION_PROVED)
        sessions_forget(s);
    s->state = next;
    if (next == SESSION_PROVED)
        sessions_expect(s);
    return 1;
}

static void tell(session *s, session_hook *const hooks[RLYD_HOOKS_MAX])
{
    int i;

    for (i = 0; i < RLYD_HOOKS_MAX && hooks[i]; i++)
        hooks[i](s);
}

/** The same for hooks that hear of a listener. */
static void tell_where(session *s, session_listener_hook *const hooks[RLYD_HOOKS_MAX],
                       relay_listen_addr addr)
{
    int i;

    for (i = 0; i < RLYD_HOOKS_MAX && hooks[i]; i++)
        hooks[i](s, addr);
}

static const session_hooks *hooks_of(const session *s)
{
    return s->d->machine->hooks;
}

/* ---- how it begins */

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    session *s = arg;
    rlyd *d = s->d;
    uint64_t id = s->id;

    rlyd_tell(d, d->machine->hooks->before_exit);
    if ((s = session_by_id(d, id)))
        session_gone(s);
}

static void watch_exit(session *s)
{
    static int64_t pidfd_gate;
    rlyd *d = s->d;

    s->pidfd = proc_pidfd_open(s->monitor);
    if (s->pidfd >= 0 && daemon_is_scarce(s->pidfd)) {
        close(s->pidfd);
        s->pidfd = -1;
        errno = EMFILE;
    }
    if (s->pidfd < 0) {
        d->machine->unwatched++;
        if (errno != ESRCH && gate_open(&pidfd_gate, 60000))
            relay_log(RELAY_LOG_WARNING,
                      "RLY420 no pidfd for process %d: %s; sessions are watched by polling",
                      (int)s->monitor, strerror(errno));
        return;
    }
    s->exited = event_new(d->base, s->pidfd, EV_READ | EV_PERSIST, on_exited, s);
    if (s->exited)
        event_add(s->exited, NULL);
}

static session *make(rlyd *d, pid_t monitor, uint64_t monitor_start, session_way way)
{
    session *s = must_alloc(sizeof(*s)), *stale = session_by_monitor(d, monitor);

    if (stale)
        session_gone(stale); /* its pid belongs to another process already */
    memset(s, 0, sizeof(*s));
    s->d = d;
    s->monitor = monitor;
    s->monitor_start = monitor_start;
    s->way = way;
    s->status = -1;
    s->began_ms = now_ms();
    sessions_add(s);
    watch_exit(s);
    return s;
}

session *session_started(rlyd *d, pid_t pid, session_way way, const char *peer)
{
    uint64_t start = 0;
    session *s;

    proc_start(pid, &start); /* it is our child: the pid cannot be another's yet */
    s = make(d, pid, start, way);
    s->our_child = 1;
    apr_cpystrn(s->peer, peer, sizeof(s->peer));
    return s;
}

/** Looks into the connection for its peer, and sets its options, whoever accepted it. */
static void learn_transport(session *s)
{
    int fd = transport_open(s->monitor, s->pidfd);

    if (fd < 0)
        return;
    if (!s->peer[0])
        transport_peer(fd, s->peer, sizeof(s->peer));
    transport_tune(fd);
    close(fd);
}

session *session_of_monitor(rlyd *d, const proc_info *monitor)
{
    session *s = session_by_monitor(d, monitor->pid);

    if (s && s->monitor_start != monitor->start) {
        session_gone(s);
        s = NULL;
    }
    if (!s) {
        s = make(d, monitor->pid, monitor->start, WAY_LISTENING);
        learn_transport(s);
    }
    return s;
}

void session_offered(rlyd *d, const proc_info *monitor, pid_t asker, const message *login)
{
    session *s = session_of_monitor(d, monitor);
    session_offer_hook *const *hooks = hooks_of(s)->offered;
    int i;

    if (!become(s, SESSION_OFFERED))
        return;
    sessions_join(s, login->tunnel, login->fingerprint);
    session_set_addrs(s, login->naddrs, login->addrs);
    for (i = 0; i < RLYD_HOOKS_MAX && hooks[i]; i++)
        hooks[i](s, asker, login);
}

void session_hear_reports(rlyd *d)
{
    rlyd_tell(d, d->machine->hooks->before_proof);
}

static void enter(session *s, const proc_info *child)
{
    s->child = child->pid;
    s->child_start = child->start;
    s->uid = child->euid;
    become(s, SESSION_PROVED);
    tell(s, hooks_of(s)->entered);
}

/** The last report was lost: another key than the reported one may have made the login. */
static void unreport(session *s)
{
    relay_log(RELAY_LOG_NOTICE,
              "RLY413 tunnel %s: its key was offered, but no report says whether it made this "
              "login; peer %s, way in %s",
              s->tunnel, s->peer[0] ? s->peer : "(unknown)", session_way_name(s->way));
    sessions_leave(s);
    s->naddrs = 0;
}

void session_proved(session *s, const proc_info *child, int reported)
{
    if (!may_become(s, SESSION_PROVED))
        return;
    if (s->tunnel[0] && !reported)
        unreport(s);
    enter(s, child);
    if (s->tunnel[0]) /* else nobody reported: its listener will tell */
        tell(s, hooks_of(s)->proved);
}

session *session_adopted(rlyd *d, const proc_info *monitor, const proc_info *child, session_way way)
{
    session *s = make(d, monitor->pid, monitor->start, way);

    learn_transport(s);
    enter(s, child);
    tell(s, hooks_of(s)->found);
    return s;
}

void session_identify(session *s, const char *tunnel, const char *fingerprint, int naddrs,
                      const relay_listen_addr *addrs)
{
    sessions_join(s, tunnel, fingerprint);
    session_set_addrs(s, naddrs, addrs);
    tell(s, hooks_of(s)->identified);
}

void session_set_way(session *s, session_way way)
{
    s->way = way;
}

/* ---- while it lasts */

void session_up(session *s, relay_listen_addr addr)
{
    tell_where(s, hooks_of(s)->up, addr);
}

void session_down(session *s, relay_listen_addr addr)
{
    tell_where(s, hooks_of(s)->down, addr);
}

void session_expects(session *s)
{
    sessions_expect(s);
}

static void look_after(session *s, void *baton)
{
    if (s->pidfd < 0 && s->state != SESSION_ENDING && !proc_is_alive(s->monitor, s->monitor_start))
        session_gone(s);
}

void session_poll(rlyd *d)
{
    if (d->machine->unwatched)
        session_each(d, look_after, NULL);
}

/* ---- how it ends */

void session_end(session *s, const char *why)
{
    if (!become(s, SESSION_ENDING))
        return;
    s->why = why;
    tell(s, hooks_of(s)->ending);
}

/** The monitor is gone and its child lives on: the session has one process from now on. After a
 * client has disconnected that lasts for a moment only: the monitor ends when the child has closed
 * its descriptors, and may well be gone first. */
static void become_orphan(session *s)
{
    const char *why =
        proc_is_staying(s->child, s->child_start) ? "its monitor process was ended" : NULL;

    sessions_set_monitor(s, s->child);
    s->monitor_start = s->child_start;
    s->our_child = 0;
    watch_exit(s);
    session_end(s, s->why ? s->why : why);
}

/** Lets go of the monitor, which has ended, and reaps it where it is our child. */
static void unwatch(session *s)
{
    int status;

    if (s->exited)
        event_free(s->exited);
    s->exited = NULL;
    if (s->our_child && waitpid(s->monitor, &status, WNOHANG) == s->monitor)
        s->status = status;
    if (s->pidfd >= 0)
        close(s->pidfd);
    else
        s->d->machine->unwatched--;
    s->pidfd = -1;
}

void session_gone(session *s)
{
    unwatch(s);
    if (s->child && s->child != s->monitor && proc_is_alive(s->child, s->child_start)) {
        become_orphan(s);
        return;
    }
    if (s->state == SESSION_PROVED)
        sessions_forget(s);
    tell(s, hooks_of(s)->gone);
    sessions_remove(s);
    free(s->addrs);
    free(s);
}

void session_init(rlyd *d, const session_hooks *hooks)
{
    d->machine = apr_pcalloc(d->pool, sizeof(*d->machine));
    d->machine->hooks = hooks;
}
