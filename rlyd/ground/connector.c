/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "connector.h"
#include "loop.h"

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

struct connector {
    const connector_hooks *hooks;
    int fd, reading; /* fd -1: there is none */
    struct event *ev;
    int64_t filter_gate;
};

static void take_event(rlyd *d, const struct proc_event *ev)
{
    const connector_hooks *hooks = d->connector->hooks;

    if (ev->what == PROC_EVENT_FORK)
        hooks->forked(d, ev->event_data.fork.parent_tgid, ev->event_data.fork.child_tgid);
    else if (ev->what == PROC_EVENT_UID)
        hooks->uid(d, ev->event_data.id.process_tgid, ev->event_data.id.r.ruid,
                   ev->event_data.id.e.euid);
}

void connector_drain(rlyd *d)
{
    _Alignas(8) char buf[4096];
    struct connector *c = d->connector;
    ssize_t n;

    if (c->fd < 0 || c->reading)
        return;
    c->reading = 1;
    while ((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        struct nlmsghdr *nlh = (void *)buf;
        struct proc_event ev;

        if ((size_t)n < NLMSG_LENGTH(sizeof(struct cn_msg)) + sizeof(ev))
            continue;
        memcpy(&ev, (char *)NLMSG_DATA(nlh) + offsetof(struct cn_msg, data), sizeof(ev));
        take_event(d, &ev);
    }
    if (n < 0 && errno == ENOBUFS)
        c->hooks->lost(d);
    c->reading = 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    connector_drain(arg);
}

/** Lets through only changes of uid, and the forks of these parents. */
static int filter(int fd, const pid_t *parents, unsigned n)
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
    struct sock_filter code[sizeof(head) / sizeof(head[0]) + 2UL * CONNECTOR_PARENTS_MAX + 1];
    unsigned short len = sizeof(head) / sizeof(head[0]);
    struct sock_fprog prog = {.filter = code};
    unsigned i;

    memcpy(code, head, sizeof(head));
    if (n > CONNECTOR_PARENTS_MAX) {
        code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
    }
    else {
        for (i = 0; i < n; i++) {
            code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                       htonl((uint32_t)parents[i]), 0, 1);
            code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
        }
        code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    }
    prog.len = len;
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

void connector_watch(rlyd *d, const pid_t *parents, unsigned n)
{
    static const int none = 0;
    struct connector *c = d->connector;

    if (c->fd < 0 || filter(c->fd, parents, n) == 0)
        return;
    /* Without a filter nothing is missed, either: only more is read. */
    if (gate_open(&c->filter_gate, 3600000))
        relay_log(RELAY_LOG_WARNING,
                  "RLY446 the filter of the proc connector cannot be set: %s; rlyd is told of "
                  "every process that begins",
                  strerror(errno));
    setsockopt(c->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
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

static int open_socket(void)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);

    if (fd < 0)
        return -1;
    if (filter(fd, NULL, 0) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        subscribe(fd) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int connector_is_there(const rlyd *d)
{
    return d->connector->fd >= 0;
}

int connector_init(rlyd *d, const connector_hooks *hooks)
{
    struct connector *c = d->connector = apr_pcalloc(d->pool, sizeof(*c));

    c->hooks = hooks;
    c->fd = open_socket();
    if (c->fd < 0)
        return -1;
    c->ev = event_new(d->base, c->fd, EV_READ | EV_PERSIST, on_readable, d);
    event_add(c->ev, NULL);
    return 0;
}
