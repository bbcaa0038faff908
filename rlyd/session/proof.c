/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "proof.h"
#include "door.h"
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 50 /* without the connector */
#define LOOK_CLOSELY_MS \
    2 /* the same, at logins whose key has been reported: they may last milliseconds */
#define CLOSELY_FOR_MS 1000
#define LOOK_ANYWAY_MS 1000 /* with it, which says when it has lost messages */
#define CHILDREN_MAX 16
/* So many monitors are in the filter: two of that size, the old one and the new, fit into the 20 kB
 * of net.core.optmem_max of older kernels. While there are more logins the forks of all processes
 * are let through. */
#define FILTER_MAX 100

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
    int fd, reading;
    struct event *ev, *timer, *closely;
    TAILQ_HEAD(logins, login)
    logins; /* each is its session's: there are as many as admission and the listening sshd let
               begin */
    int nlogins;
    int64_t filter_gate;
};

static login *login_of(const rlyd *d, pid_t monitor)
{
    session *s = session_by_monitor((rlyd *)d, monitor);

    return s ? s->login : NULL;
}

static login *login_with_child(struct proofs *p, pid_t pid)
{
    login *l;

    TAILQ_FOREACH(l, &p->logins, entry)
    if (l->forked == pid)
        return l;
    return NULL;
}

/** Whether this process is the authenticated child of a session's monitor. */
static int is_proof(const session *s, pid_t pid, proc_info *info)
{
    return proc_read(pid, info) == 0 && info->ppid == s->monitor &&
           info->euid == s->d->tunnel_uid && info->ruid == s->d->tunnel_uid &&
           proc_is_sshd(pid, s->d->cfg->sshd);
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
            session_proved(s, &info);
            return;
        }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    proof_drain(d); /* logins have to be taken in the order in which they succeeded */
    session_each(d, look, NULL);
    timer_arm(d->proofs->timer, d->proofs->fd < 0 ? LOOK_MS : LOOK_ANYWAY_MS);
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
    if (proc_read(pid, &info) == 0 && info.ppid == s->monitor && info.state != 'Z')
        return; /* it is there, and is no sshd */
    /* Whoever has its pid by now, no start time makes it that process. */
    info =
        (proc_info){.pid = pid, .ppid = s->monitor, .ruid = d->tunnel_uid, .euid = d->tunnel_uid};
    session_proved(s, &info);
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
            door_drain(d); /* the report of its key may still wait there */
            s = session_by_monitor(d, info.ppid);
        }
        if (s && is_proof(s, pid, &info)) {
            session_proved(s, &info);
            return;
        }
    }
    if (ruid == d->tunnel_uid)
        on_ended_child(d, pid);
}

static void take_event(rlyd *d, const struct proc_event *ev)
{
    if (ev->what == PROC_EVENT_FORK)
        on_fork(d, ev->event_data.fork.parent_tgid, ev->event_data.fork.child_tgid);
    else if (ev->what == PROC_EVENT_UID)
        on_uid(d, ev->event_data.id.process_tgid, ev->event_data.id.r.ruid,
               ev->event_data.id.e.euid);
}

/** Events were lost: looks at all, and believes no report that a look-up
 * unseen may have followed. */
static void lose_sight(struct proofs *p)
{
    login *l;

    TAILQ_FOREACH(l, &p->logins, entry)
    {
        l->asked = UNSEEN;
    }
    timer_arm(p->timer, 0);
}

void proof_drain(rlyd *d)
{
    _Alignas(8) char buf[4096];
    struct proofs *p = d->proofs;
    ssize_t n;

    if (p->fd < 0 || p->reading)
        return;
    p->reading = 1;
    while ((n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        struct nlmsghdr *nlh = (void *)buf;
        struct proc_event ev;

        if ((size_t)n < NLMSG_LENGTH(sizeof(struct cn_msg)) + sizeof(ev))
            continue;
        memcpy(&ev, (char *)NLMSG_DATA(nlh) + offsetof(struct cn_msg, data), sizeof(ev));
        take_event(d, &ev);
    }
    if (n < 0 && errno == ENOBUFS)
        lose_sight(p);
    p->reading = 0;
}

static void on_connector(evutil_socket_t fd, short what, void *arg)
{
    proof_drain(arg);
}

/** Lets through only changes of uid, and the forks of monitors with a login under way: those of a
 * busy host are many. */
static int filter(const struct proofs *p, int fd)
{
    const unsigned event = NLMSG_LENGTH(0) + offsetof(struct cn_msg, data);
    const struct sock_filter head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, event + offsetof(struct proc_event, what)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_UID), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_FORK), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 event + offsetof(struct proc_event, event_data.fork.parent_tgid)),
    };
    struct sock_filter code[sizeof(head) / sizeof(head[0]) + 2UL * FILTER_MAX + 1];
    unsigned short n = sizeof(head) / sizeof(head[0]);
    struct sock_fprog prog = {.filter = code};
    const login *l;

    memcpy(code, head, sizeof(head));
    if (p->nlogins > FILTER_MAX) {
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    }
    else {
        TAILQ_FOREACH(l, &p->logins, entry)
        {
            code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                     htonl((uint32_t)l->s->monitor), 0, 1);
            code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    }
    prog.len = n;
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/** From now on nothing that this login does is missed. Without a filter it is not either, only more
 * is read. */
static void refilter(struct proofs *p)
{
    static const int none = 0;

    if (p->fd < 0 || p->nlogins > FILTER_MAX + 1 || filter(p, p->fd) == 0)
        return;
    if (gate_open(&p->filter_gate, 3600000))
        relay_log(RELAY_LOG_WARNING,
                  "RLY446 the filter of the proc connector cannot be set: %s; rlyd is told of "
                  "every process that "
                  "begins",
                  strerror(errno));
    setsockopt(p->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}

void proof_expect(session *s, pid_t asker)
{
    struct proofs *p = s->d->proofs;
    login *l = s->login;

    if (!l) {
        l = s->login = must_alloc(sizeof(*l));
        memset(l, 0, sizeof(*l));
        l->s = s;
        TAILQ_INSERT_TAIL(&p->logins, l, entry);
        p->nlogins++;
        refilter(p);
    }
    l->reported = asker;
    if (l->asked == UNSEEN) /* it waits for our answer: sshd has asked nobody else since */
        l->asked = asker;
    l->at_ms = now_ms();
    if (p->fd < 0)
        timer_arm(p->closely, LOOK_CLOSELY_MS);
}

int proof_is_reported(const session *s)
{
    const login *l = s->login;

    return l && (!l->asked || l->asked == l->reported);
}

void proof_forget(session *s)
{
    struct proofs *p = s->d->proofs;

    if (!s->login)
        return;
    TAILQ_REMOVE(&p->logins, s->login, entry);
    free(s->login);
    s->login = NULL;
    if (--p->nlogins == FILTER_MAX)
        refilter(p);
}

static int subscribe(int fd)
{
    struct {
        struct nlmsghdr nlh;
        char body[sizeof(struct cn_msg) + sizeof(enum proc_cn_mcast_op)];
    } msg;
    struct cn_msg head = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC},
                          .len = sizeof(enum proc_cn_mcast_op)};
    enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;

    memset(&msg, 0, sizeof(msg));
    msg.nlh.nlmsg_len = NLMSG_LENGTH(sizeof(msg.body));
    msg.nlh.nlmsg_type = NLMSG_DONE;
    memcpy(msg.body, &head, sizeof(head));
    memcpy(msg.body + sizeof(head), &op, sizeof(op));
    return send(fd, &msg, msg.nlh.nlmsg_len, 0) < 0 ? -1 : 0;
}

static int connector_open(const struct proofs *p)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);

    if (fd < 0)
        return -1;
    if (filter(p, fd) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        subscribe(fd) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void proof_init(rlyd *d)
{
    struct proofs *p = d->proofs = apr_pcalloc(d->pool, sizeof(*p));

    TAILQ_INIT(&p->logins);
    p->timer = timer_new(d, on_timer, d);
    p->closely = timer_new(d, on_closely, d);
    p->fd = connector_open(p);
    if (p->fd < 0) {
        relay_log(RELAY_LOG_NOTICE,
                  "RLY443 the kernel's proc connector is not to be had: %s; logins are watched by "
                  "polling",
                  strerror(errno));
    }
    else {
        p->ev = event_new(d->base, p->fd, EV_READ | EV_PERSIST, on_connector, d);
        event_add(p->ev, NULL);
    }
    timer_arm(p->timer, LOOK_MS);
}
