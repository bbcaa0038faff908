/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "session.h"
#include "sessions.h"
#include "admission.h"
#include "ground/daemon.h"
#include "door.h"
#include "lifetime.h"
#include "listeners.h"
#include "live.h"
#include "proof.h"
#include "outcome.h"
#include "ground/sshdtest.h"
#include "takeover.h"
#include "ground/transport.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *session_way_name(session_way way)
{
    static const char *const names[] = {
        [WAY_DIRECT] = "direct", [WAY_TLS] = "tls", [WAY_LISTENING] = "listening"};

    return names[way];
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    session *s = arg;
    rlyd *d = s->d;
    uint64_t id = s->id;

    /* Its login may have succeeded before that, if only for a moment. */
    proof_drain(d);
    if ((s = session_by_id(d, id)))
        session_gone(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    session *s = arg;

    if (s->state == SESSION_ENDING)
        ending_step(s);
    else
        lifetime_deadline(s);
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
        d->unwatched++;
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

static session *session_make(rlyd *d, pid_t monitor, uint64_t monitor_start, session_way way)
{
    session *s = must_alloc(sizeof(*s)), *stale = session_by_monitor(d, monitor);

    if (stale)
        session_gone(stale); /* its pid belongs to another process already */
    memset(s, 0, sizeof(*s));
    s->d = d;
    s->monitor = monitor;
    s->monitor_start = monitor_start;
    s->way = way;
    s->described = 1;
    s->began_ms = now_ms();
    s->timer = timer_new(d, on_timer, s);
    session_index_add(s);
    watch_exit(s);
    return s;
}

session *session_started(rlyd *d, pid_t pid, session_way way, const char *peer,
                         struct source *source)
{
    uint64_t start = 0;
    session *s;

    proc_start(pid, &start); /* it is our child: the pid cannot be another's yet */
    s = session_make(d, pid, start, way);
    s->our_child = 1;
    s->source = source;
    apr_cpystrn(s->peer, peer, sizeof(s->peer));
    return s;
}

/** Looks into the connection: who is there; and sees to its options, whoever accepted it. */
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

static int is_silent(session *s)
{
    int fd = transport_open(s->monitor, s->pidfd), silent;

    if (fd < 0)
        return 0;
    silent = transport_is_silent(fd);
    close(fd);
    return silent;
}

session *session_of_monitor(rlyd *d, const proc_info *monitor)
{
    session *s = session_by_monitor(d, monitor->pid);

    if (s && s->monitor_start != monitor->start) {
        session_gone(s);
        s = NULL;
    }
    if (!s) {
        s = session_make(d, monitor->pid, monitor->start, WAY_LISTENING);
        learn_transport(s);
    }
    return s;
}

void session_offered(rlyd *d, const proc_info *monitor, pid_t asker, const message *login)
{
    session *s = session_of_monitor(d, monitor), *other, *next;

    if (s->state > SESSION_OFFERED)
        return;
    s->refusal = 0;
    s->state = SESSION_OFFERED;
    proof_expect(s, asker);
    session_index_join(s, login->tunnel, login->fingerprint);
    session_set_addrs(s, login->naddrs, login->addrs);
    lifetime_offered(s, login->expires_redis_ms);

    for (other = session_of_tunnel(d, s->tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other != s && other->state == SESSION_PROVED && is_silent(other))
            session_end(other, "silent");
    }
    takeover_offered(s);
}

static void become_proved(session *s, const proc_info *child)
{
    s->child = child->pid;
    s->child_start = child->start;
    s->uid = child->euid;
    s->state = SESSION_PROVED;
    if (s->source)
        admission_leave(s->d, s->source);
    s->source = NULL;
    session_index_expect(s);
}

/** The last report was lost: the key that did it may be another than the one that was offered
 * before. */
static void unreport(session *s)
{
    relay_log(RELAY_LOG_NOTICE,
              "RLY413 tunnel %s: its key was offered, but no report says whether it made this "
              "login; peer %s, "
              "way in %s",
              s->tunnel, s->peer[0] ? s->peer : "(unknown)", session_way_name(s->way));
    session_index_leave(s);
    s->naddrs = 0;
    s->deadline_ms = 0;
}

void session_proved(session *s, const proc_info *child)
{
    if (s->state >= SESSION_PROVED)
        return;
    /* The report of the key that did it may still wait at the door, and it decides whose this
     * session is. */
    door_drain(s->d);
    if (s->tunnel[0] && !proof_is_reported(s))
        unreport(s);
    proof_forget(s);
    become_proved(s, child);
    if (!s->tunnel[0])
        return; /* nobody reported: its listener will tell */
    takeover_proved(s);
    listeners_await(s);
    lifetime_check(s);
}

static int is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/**
 * Whether a monitor with that parent can be ours. Two relays on one host, for a trial say, may use
 * the same user and listen space by mistake: neither must end the other's sessions.
 */
static int is_our_parent(rlyd *d, pid_t parent)
{
    char config[PATH_MAX];

    if (proc_is_sshd(parent, d->cfg->sshd))
        return !proc_sshd_config(parent, config, sizeof(config)) ||
               is_same_file(config, d->cfg->sshd_config);
    return parent == getpid() || !proc_is_program(parent, "rlyd");
}

session *session_found(rlyd *d, const proc_info *child, int *others)
{
    proc_info monitor;
    session *s;
    int orphan = 0;

    proof_drain(d); /* logins have to be taken in the order in which they succeeded */
    s = session_by_monitor(d, child->ppid);
    if (child->euid != d->tunnel_uid || child->ruid != d->tunnel_uid ||
        !proc_is_sshd(child->pid, d->cfg->sshd))
        return NULL;
    if (s && s->state < SESSION_PROVED && proc_is_alive(s->monitor, s->monitor_start)) {
        session_proved(s, child);
        return s;
    }
    if (s && s->child == child->pid && s->child_start == child->start)
        return s;
    if (proc_read(child->ppid, &monitor) < 0 || monitor.ruid != getuid() ||
        !proc_is_sshd(monitor.pid, d->cfg->sshd)) {
        /* A child whose monitor has died is still a session. */
        s = session_by_monitor(d, child->pid);
        if (s && s->monitor_start == child->start)
            return s;
        monitor = *child;
        orphan = 1;
    }
    else if (!is_our_parent(d, monitor.ppid)) {
        *others = 1;
        return NULL;
    }
    s = session_make(d, monitor.pid, monitor.start,
                     !orphan && proc_is_sshd(monitor.ppid, d->cfg->sshd) ? WAY_LISTENING
                                                                         : WAY_DIRECT);
    s->described = 0;
    learn_transport(s);
    become_proved(s, child);
    lifetime_identify(s);
    return s;
}

void session_identify(session *s, const char *tunnel, const char *fingerprint, int naddrs,
                      const relay_listen_addr *addrs)
{
    session *other, *next;

    session_index_join(s, tunnel, fingerprint);
    session_set_addrs(s, naddrs, addrs);
    for (other = session_of_tunnel(s->d, tunnel); other; other = next) {
        next = other->next_of_tunnel;
        if (other == s || other->state != SESSION_PROVED)
            continue;
        session_end(other->child_start < s->child_start ? other : s, "superseded");
    }
}

void session_set_deadline(session *s, int64_t deadline_ms)
{
    int64_t left = deadline_ms - now_ms();

    s->deadline_ms = deadline_ms;
    if (s->state != SESSION_ENDING)
        timer_arm(s->timer, left > 0 ? left : 0);
}

void session_end(session *s, const char *why)
{
    if (s->state == SESSION_ENDING)
        return;
    if (s->state == SESSION_PROVED)
        session_index_forget(s);
    s->state = SESSION_ENDING;
    s->why = why;
    s->ending_ms = now_ms();
    /* In this order: a child that has no word of its end yet would log a failed accept() for each
     * turn of its loop. */
    ending_signal(s, SIGTERM);
    ending_release(s);
    takeover_over(s);
    timer_arm(s->timer, 10);
}

static void log_end(const session *s)
{
    double seconds = (double)(now_ms() - s->began_ms) / 1000;
    char why[400];

    if (s->child_start)
        seconds = (double)proc_age_ms(s->child_start) / 1000;
    if (s->child || s->state == SESSION_ENDING)
        relay_log(RELAY_LOG_NOTICE,
                  "RLY410 tunnel %s: session ended: %s%s; peer %s, way in %s, %.1f s",
                  s->tunnel[0] ? s->tunnel : "(unknown)", s->why ? s->why : "disconnected",
                  s->killed ? " (had to be killed)" : "", s->peer[0] ? s->peer : "(unknown)",
                  session_way_name(s->way), seconds);
    else
        relay_log(RELAY_LOG_INFO,
                  "RLY411 %s%s: login not completed: %s; peer %s, way in %s, %.1f s",
                  s->tunnel[0] ? "tunnel " : "no tunnel", s->tunnel,
                  refusal_print(s, why, sizeof(why)), s->peer[0] ? s->peer : "(unknown)",
                  session_way_name(s->way), seconds);
}

/** The monitor is gone, its child lives on: a session of one process from now on. After a client
 * has disconnected that is for a moment: the monitor ends when the child has closed its
 * descriptors, and may well be the first of the two to be gone. */
static void become_orphan(session *s)
{
    const char *why =
        proc_is_staying(s->child, s->child_start) ? "its monitor process was ended" : NULL;

    session_index_monitor(s, s->child);
    s->monitor_start = s->child_start;
    s->our_child = 0;
    watch_exit(s);
    session_end(s, s->why ? s->why : why);
}

void session_gone(session *s)
{
    rlyd *d = s->d;
    int status;

    if (s->exited)
        event_free(s->exited);
    s->exited = NULL;
    if (s->our_child && waitpid(s->monitor, &status, WNOHANG) == s->monitor &&
        s->state == SESSION_STARTED)
        sshdtest_ended(d, s->peer, status, now_ms() - s->began_ms);
    if (s->pidfd >= 0)
        close(s->pidfd);
    else
        d->unwatched--;
    s->pidfd = -1;
    if (s->child && s->child != s->monitor && proc_is_alive(s->child, s->child_start)) {
        become_orphan(s);
        return;
    }
    if (s->state == SESSION_PROVED)
        session_index_forget(s);
    takeover_over(s);
    proof_forget(s);
    listeners_session_gone(s);
    log_end(s);
    if (s->announced)
        live_event(d, "down", s, "why", s->why ? s->why : "disconnected");
    if (s->source)
        admission_leave(d, s->source);
    session_index_remove(s);
    event_free(s->timer);
    free(s->addrs);
    free(s);
}
