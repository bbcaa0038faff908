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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 50          /* without the connector */
#define LOOK_ANYWAY_MS 1000 /* with it, which says when it has lost messages */
#define CHILDREN_MAX 16

struct proofs {
    int fd;
    struct event *ev, *timer;
};

/** Whether this process is the authenticated child of a session's monitor. */
static int is_proof(const session *s, pid_t pid, proc_info *info)
{
    return proc_read(pid, info) == 0 && info->ppid == s->monitor && info->euid == s->d->tunnel_uid &&
           info->ruid == s->d->tunnel_uid && proc_is_sshd(pid, s->d->cfg->sshd);
}

/** Looks whether a session's login has succeeded by now. The kernel's list may leave one out while another exits. */
static void look(session *s, void *baton)
{
    pid_t children[CHILDREN_MAX];
    proc_info info;
    int i, n;

    (void)baton;
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

    (void)fd;
    (void)what;
    session_each(d, look, NULL);
    timer_arm(d->proofs->timer, d->proofs->fd < 0 ? LOOK_MS : LOOK_ANYWAY_MS);
}

static void on_uid(rlyd *d, pid_t pid, uid_t euid)
{
    proc_info info;
    session *s;

    if (euid != d->tunnel_uid || proc_read(pid, &info) < 0)
        return;
    if (!(s = session_by_monitor(d, info.ppid))) {
        door_drain(d); /* the report of its key may still wait there */
        s = session_by_monitor(d, info.ppid);
    }
    if (s && is_proof(s, pid, &info))
        session_proved(s, &info);
}

static void on_connector(evutil_socket_t fd, short what, void *arg)
{
    _Alignas(8) char buf[4096];
    rlyd *d = arg;
    ssize_t n;

    (void)what;
    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) != 0) {
        struct nlmsghdr *nlh = (void *)buf;
        struct proc_event ev;

        if (n < 0 && errno == ENOBUFS)
            timer_arm(d->proofs->timer, 0); /* some were lost: look at all */
        if (n < 0)
            return;
        if ((size_t)n < NLMSG_LENGTH(sizeof(struct cn_msg)) + sizeof ev)
            continue;
        memcpy(&ev, (char *)NLMSG_DATA(nlh) + offsetof(struct cn_msg, data), sizeof ev);
        if (ev.what == PROC_EVENT_UID)
            on_uid(d, ev.event_data.id.process_tgid, ev.event_data.id.e.euid);
    }
}

/** Lets through only changes of uid: forks and exits of a busy host would be many. */
static int filter(int fd)
{
    const unsigned what = NLMSG_LENGTH(0) + offsetof(struct cn_msg, data) + offsetof(struct proc_event, what);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, what),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_UID), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = sizeof code / sizeof code[0], .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
}

static int subscribe(int fd)
{
    struct {
        struct nlmsghdr nlh;
        char body[sizeof(struct cn_msg) + sizeof(enum proc_cn_mcast_op)];
    } msg;
    struct cn_msg head = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC}, .len = sizeof(enum proc_cn_mcast_op)};
    enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;

    memset(&msg, 0, sizeof msg);
    msg.nlh.nlmsg_len = NLMSG_LENGTH(sizeof msg.body);
    msg.nlh.nlmsg_type = NLMSG_DONE;
    memcpy(msg.body, &head, sizeof head);
    memcpy(msg.body + sizeof head, &op, sizeof op);
    return send(fd, &msg, msg.nlh.nlmsg_len, 0) < 0 ? -1 : 0;
}

static int connector_open(void)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);

    if (fd < 0)
        return -1;
    if (filter(fd) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || subscribe(fd) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void proof_init(rlyd *d)
{
    struct proofs *p = d->proofs = apr_pcalloc(d->pool, sizeof *p);

    p->timer = timer_new(d, on_timer, d);
    p->fd = connector_open();
    if (p->fd < 0) {
        relay_log(RELAY_LOG_NOTICE, "RLY443 the kernel's proc connector is not to be had: %s; logins are watched by "
                  "polling", strerror(errno));
    }
    else {
        p->ev = event_new(d->base, p->fd, EV_READ | EV_PERSIST, on_connector, d);
        event_add(p->ev, NULL);
    }
    timer_arm(p->timer, LOOK_MS);
}
