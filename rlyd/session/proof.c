/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "proof.h"
#include "ground/connector.h"
#include "ground/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 50 /* without the connector */
/* The same, at logins whose key has been reported: they may last milliseconds. */
#define LOOK_CLOSELY_MS 2
#define CLOSELY_FOR_MS 1000
#define LOOK_ANYWAY_MS 1000 /* with it, which says when it has lost messages */
#define CHILDREN_MAX 16

/*
 * What the connector told of the children of a monitor whose login is under way. When we come to
 * look at an authenticated child it may be gone: a device whose address is still taken leaves as
 * soon as sshd has said so, within milliseconds. Its login has succeeded all the same, and has to
 * end the session that holds the address.
 */
typedef struct login {
    TAILQ_ENTRY(login) entry;
    session *s;
    pid_t forked;   /* the last child, unless it has taken on another uid than the tunnel user's */
    pid_t asked;    /* the last one that has: relay-authkeys, or what else looks up keys; UNSEEN: it
                       may be another */
    pid_t reported; /* the relay-authkeys whose report was heard last */
    int64_t at_ms;  /* when that was */
} login;

#define UNSEEN ((pid_t)-1)

struct proofs {
    struct event *timer, *closely;
    /* Each is its session's: there are as many as admission and the listening sshd let begin. */
    TAILQ_HEAD(logins, login) logins;
    unsigned nlogins;
};

static login *login_of(const rlyd *d, pid_t monitor)
{
    session *s = session_by_monitor((rlyd *)d, monitor);

    return s ? s->proof.login : NULL;
}

static login *login_with_child(struct proofs *p, pid_t pid)
{
    login *l;

    TAILQ_FOREACH(l, &p->logins, entry)
    if (l->forked == pid)
        return l;
    return NULL;
}

/** Whether the last look-up of a key for that login is one whose report was heard: only then is it
 * known which key did it. Where nothing is known of it the answer is no. */
static int is_reported(const session *s)
{
    const login *l = s->proof.login;

    return l && (!l->asked || l->asked == l->reported);
}

/** Whether this process is the authenticated child of a session's monitor. */
static int is_proof(const session *s, pid_t pid, proc_info *info)
{
    return proc_read(pid, info) == 0 && info->ppid == s->monitor &&
           info->euid == s->d->tunnel_uid && info->ruid == s->d->tunnel_uid &&
           proc_is_sshd(pid, s->d->cfg->sshd);
}

void proof_succeeded(session *s, const proc_info *child)
{
    rlyd *d = s->d;
    uint64_t id = s->id;

    if (s->state >= SESSION_PROVED)
        return;
    /* The report of the key that did it may still wait at the door, and it decides whose this
     * session is. */
    session_hear_reports(d);
    if ((s = session_by_id(d, id)))
        session_proved(s, child, is_reported(s));
}

/** Looks whether a session's login has succeeded by now. The kernel's list may leave one out while
 * another exits. */
static void look(session *s, void *baton)
{
    pid_t children[CHILDREN_MAX];
    proc_info info;
    int i, n;

    if (s->state >= SESSION_PROVED)
        return;
    n = proc_children(s->monitor, children, CHILDREN_MAX);
    for (i = 0; i < n; i++)
        if (is_proof(s, children[i], &info)) {
            proof_succeeded(s, &info);
            return;
        }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    connector_drain(d); /* logins have to be taken in the order in which they succeeded */
    session_each(d, look, NULL);
    timer_arm(d->proofs->timer, connector_is_there(d) ? LOOK_ANYWAY_MS : LOOK_MS);
}

/** Without the connector. */
static void on_closely(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct proofs *p = d->proofs;
    int64_t now = now_ms();
    uint64_t *ids = must_alloc((size_t)p->nlogins * sizeof(*ids));
    const login *l;
    int i, n = 0;

    /* By id: a look may change the list. */
    TAILQ_FOREACH(l, &p->logins, entry)
    if (now < l->at_ms + CLOSELY_FOR_MS)
        ids[n++] = l->s->id;
    for (i = 0; i < n; i++) {
        session *s = session_by_id(d, ids[i]);

        if (s)
            look(s, NULL);
    }
    free(ids);
    if (n)
        timer_arm(p->closely, LOOK_CLOSELY_MS);
}

static void on_fork(rlyd *d, pid_t parent, pid_t child)
{
    login *l = login_of(d, parent);

    if (l)
        l->forked = child;
}

/** A process has taken on the tunnel user's uid, and /proc does not say, or no longer, that it is a
 * session's. */
static void on_ended_child(rlyd *d, pid_t pid)
{
    const login *l = login_with_child(d->proofs, pid);
    session *s = l ? l->s : NULL;
    proc_info info;

    if (!s || s->state >= SESSION_PROVED)
        return;
    /* One that ends has no program any more some time before it is a zombie. */
    if (proc_read(pid, &info) == 0 && info.ppid == s->monitor && !info.exiting)
        return; /* it is there, and is no sshd */
    /* Whoever has its pid by now, no start time makes it that process. */
    info =
        (proc_info){.pid = pid, .ppid = s->monitor, .ruid = d->tunnel_uid, .euid = d->tunnel_uid};
    proof_succeeded(s, &info);
}

static void on_uid(rlyd *d, pid_t pid, uid_t ruid, uid_t euid)
{
    proc_info info;
    session *s;

    if (euid != d->tunnel_uid) {
        login *l = login_with_child(d->proofs, pid);

        if (l) {
            l->asked = pid;
            l->forked = 0;
        }
        return;
    }
    if (proc_read(pid, &info) == 0) {
        if (!(s = session_by_monitor(d, info.ppid))) {
            session_hear_reports(d); /* the report of its key may still wait there */
            s = session_by_monitor(d, info.ppid);
        }
        if (s && is_proof(s, pid, &info)) {
            proof_succeeded(s, &info);
            return;
        }
    }
    if (ruid == d->tunnel_uid)
        on_ended_child(d, pid);
}

/** Events were lost: looks at all, and believes no report that a look-up
 * unseen may have followed. */
static void on_lost(rlyd *d)
{
    login *l;

    TAILQ_FOREACH(l, &d->proofs->logins, entry)
    {
        l->asked = UNSEEN;
    }
    timer_arm(d->proofs->timer, 0);
}

/** The monitors whose logins are under way are watched for forks: from now on nothing that a login
 * does is missed. */
static void watch(rlyd *d)
{
    pid_t monitors[CONNECTOR_PARENTS_MAX];
    unsigned n = 0;
    const login *l;

    for (l = TAILQ_FIRST(&d->proofs->logins); l; l = TAILQ_NEXT(l, entry), n++)
        if (n < CONNECTOR_PARENTS_MAX)
            monitors[n] = l->s->monitor;
    connector_watch(d, monitors, n);
}

void proof_offered(session *s, pid_t asker, const message *report)
{
    struct proofs *p = s->d->proofs;
    login *l = s->proof.login;

    if (!l) {
        l = s->proof.login = must_alloc(sizeof(*l));
        memset(l, 0, sizeof(*l));
        l->s = s;
        TAILQ_INSERT_TAIL(&p->logins, l, entry);
        if (++p->nlogins <= CONNECTOR_PARENTS_MAX + 1)
            watch(s->d);
    }
    l->reported = asker;
    if (l->asked == UNSEEN) /* it waits for our answer: sshd has asked nobody else since */
        l->asked = asker;
    l->at_ms = now_ms();
    if (!connector_is_there(s->d))
        timer_arm(p->closely, LOOK_CLOSELY_MS);
}

void proof_over(session *s)
{
    struct proofs *p = s->d->proofs;

    if (!s->proof.login)
        return;
    TAILQ_REMOVE(&p->logins, s->proof.login, entry);
    free(s->proof.login);
    s->proof.login = NULL;
    if (--p->nlogins == CONNECTOR_PARENTS_MAX)
        watch(s->d);
}

void proof_init(rlyd *d)
{
    static const connector_hooks hooks = {.forked = on_fork, .uid = on_uid, .lost = on_lost};
    struct proofs *p = d->proofs = apr_pcalloc(d->pool, sizeof(*p));

    TAILQ_INIT(&p->logins);
    p->timer = timer_new(d, on_timer, d);
    p->closely = timer_new(d, on_closely, d);
    if (connector_init(d, &hooks) < 0)
        relay_log(RELAY_LOG_NOTICE,
                  "RLY443 the kernel's proc connector cannot be used: %s; logins are watched by "
                  "polling",
                  strerror(errno));
    timer_arm(p->timer, LOOK_MS);
}
