/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One condition of the filter, an address with its prefix, and the jump to the end that follows it. */
#define COND_SIZE (sizeof(struct inet_diag_bc_op) + sizeof(struct inet_diag_hostcond) + sizeof(uint32_t))
#define JUMP_SIZE sizeof(struct inet_diag_bc_op)
#define FILTER_MAX (RELAY_LISTEN_BLOCKS_MAX * (COND_SIZE + JUMP_SIZE))

typedef struct request {
    struct nlmsghdr nlh;
    struct inet_diag_req_v2 req;
    char filter[NLA_HDRLEN + FILTER_MAX];
} request;

int sockdiag_open(void)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int size = 1 << 20, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return fd;
}

static void request_init(request *r, int flags, int family)
{
    memset(r, 0, sizeof *r);
    r->nlh.nlmsg_len = NLMSG_LENGTH(sizeof r->req);
    r->nlh.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    r->nlh.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    r->req.sdiag_family = (uint8_t)family;
    r->req.sdiag_protocol = IPPROTO_TCP;
    r->req.idiag_states = 1U << TCP_LISTEN;
    r->req.id.idiag_cookie[0] = r->req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/** The longest prefix that first and last share. */
static int common_prefix(uint32_t first, uint32_t last)
{
    return first == last ? 32 : __builtin_clz(first ^ last);
}

/**
 * Appends the filter: source address in one of n prefixes. A program of conditional jumps (the kernel's
 * inet_diag_bc_run()): to land exactly at its end accepts, to land beyond it rejects.
 */
static void request_filter(request *r, int family, int n, const uint32_t *addr, const int *prefix)
{
    struct nlattr *attr = (struct nlattr *)(void *)r->filter;
    char *at = r->filter + NLA_HDRLEN;
    int i, total = n * (int)(COND_SIZE + JUMP_SIZE) - (int)JUMP_SIZE;

    for (i = 0; i < n; i++) {
        struct inet_diag_bc_op *op = (void *)at;
        struct inet_diag_hostcond *cond = (void *)(at + sizeof *op);
        int left = total - (int)(at - (r->filter + NLA_HDRLEN));

        op->code = INET_DIAG_BC_S_COND;
        op->yes = COND_SIZE;
        op->no = COND_SIZE + JUMP_SIZE; /* the next condition; for the last: beyond the end */
        cond->family = (uint8_t)family;
        cond->prefix_len = (uint8_t)prefix[i];
        cond->port = -1;
        cond->addr[0] = htonl(addr[i]);
        at += COND_SIZE;
        if (i < n - 1) {
            op = (void *)at;
            op->code = INET_DIAG_BC_JMP;
            op->yes = JUMP_SIZE;
            op->no = (uint16_t)(left - (int)COND_SIZE);
            at += JUMP_SIZE;
        }
    }
    attr->nla_type = INET_DIAG_REQ_BYTECODE;
    attr->nla_len = (uint16_t)(NLA_HDRLEN + total);
    r->nlh.nlmsg_len = NLMSG_ALIGN(r->nlh.nlmsg_len) + attr->nla_len;
}

static int is_its_own_peer(const struct inet_diag_msg *m)
{
    return m->idiag_family == AF_INET && m->id.idiag_src[0] == m->id.idiag_dst[0] && m->id.idiag_sport == m->id.idiag_dport;
}

static int take(const struct nlmsghdr *nlh, sockdiag_socket *s)
{
    const struct inet_diag_msg *m = NLMSG_DATA(nlh);
    const uint32_t *src = m->id.idiag_src;

    if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof *m) || (m->idiag_state != TCP_LISTEN && !is_its_own_peer(m)))
        return 0;
    memset(s, 0, sizeof *s);
    s->addr.port = ntohs(m->id.idiag_sport);
    s->uid = m->idiag_uid;
    s->inode = m->idiag_inode;
    if (m->idiag_family == AF_INET)
        s->addr.ip = ntohl(src[0]);
    else if (src[0] || src[1] || (src[2] && src[2] != htonl(0xffff)))
        return 0; /* a true IPv6 address */
    else
        s->addr.ip = ntohl(src[3]); /* 0, or mapped */
    s->wildcard = s->addr.ip == 0;
    return 1;
}

/** IPV6_V6ONLY of a listener; the kernel sends it along for IPv6 sockets. */
static int is_v6only(const struct nlmsghdr *nlh)
{
    const struct inet_diag_msg *m = NLMSG_DATA(nlh);
    const struct rtattr *attr = (const void *)(m + 1);
    int left = (int)nlh->nlmsg_len - (int)NLMSG_LENGTH(sizeof *m);

    if (m->idiag_family != AF_INET6)
        return 0;
    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
        if (attr->rta_type == INET_DIAG_SKV6ONLY)
            return *(const uint8_t *)RTA_DATA(attr);
    return 0;
}

/** Throws away what an earlier, broken dump left. */
static void drain(int nl)
{
    char buf[8192];

    while (recv(nl, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
}

static int run(int nl, request *r, sockdiag_fn *fn, void *baton)
{
    static uint32_t seq;
    static _Alignas(8) char buf[65536];

    drain(nl);
    r->nlh.nlmsg_seq = ++seq;
    if (send(nl, r, r->nlh.nlmsg_len, 0) < 0)
        return -1;
    for (;;) {
        ssize_t n = recv(nl, buf, sizeof buf, 0);
        struct nlmsghdr *nlh = (void *)buf;
        unsigned left = (unsigned)n;
        sockdiag_socket s;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        for (; NLMSG_OK(nlh, left); nlh = NLMSG_NEXT(nlh, left)) {
            if (nlh->nlmsg_seq != seq)
                continue;
            if (nlh->nlmsg_flags & NLM_F_DUMP_INTR) {
                errno = EAGAIN;
                return -1;
            }
            if (nlh->nlmsg_type == NLMSG_DONE)
                return 0;
            if (nlh->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(nlh))->error;
                return errno ? -1 : 0;
            }
            if (take(nlh, &s) && !is_v6only(nlh))
                fn(baton, &s);
            if (!(r->nlh.nlmsg_flags & NLM_F_DUMP))
                return 0;
        }
    }
}

typedef struct filtered {
    const relay_listen_space *space;
    sockdiag_fn *fn;
    void *baton;
} filtered;

static void pass_inside(void *baton, const sockdiag_socket *s)
{
    const filtered *f = baton;

    if (relay_listen_contains(f->space, s->addr))
        f->fn(f->baton, s);
}

static void pass_wildcard(void *baton, const sockdiag_socket *s)
{
    const filtered *f = baton;
    int i;

    for (i = 0; i < f->space->nblocks; i++)
        if (s->wildcard && s->addr.port >= f->space->block[i].port_lo && s->addr.port <= f->space->block[i].port_hi) {
            f->fn(f->baton, s);
            return;
        }
}

static int dump(int nl, int state, const relay_listen_space *space, sockdiag_fn *fn, void *baton)
{
    uint32_t addr[RELAY_LISTEN_BLOCKS_MAX];
    int prefix[RELAY_LISTEN_BLOCKS_MAX], i;
    filtered f = {space, fn, baton};
    request r;

    for (i = 0; i < space->nblocks; i++) {
        addr[i] = space->block[i].first;
        prefix[i] = common_prefix(space->block[i].first, space->block[i].last);
    }
    request_init(&r, NLM_F_DUMP, AF_INET);
    request_filter(&r, AF_INET, space->nblocks, addr, prefix);
    r.req.idiag_states = 1U << state;
    return run(nl, &r, pass_inside, &f);
}

int sockdiag_dump(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton)
{
    return dump(nl, TCP_LISTEN, space, fn, baton);
}

int sockdiag_dump_parked(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton)
{
    return dump(nl, TCP_ESTABLISHED, space, fn, baton);
}

int sockdiag_dump_wildcards(int nl, const relay_listen_space *space, sockdiag_fn *fn, void *baton)
{
    static const uint32_t any[1] = {0};
    static const int whole[1] = {32};
    filtered f = {space, fn, baton};
    request r;

    request_init(&r, NLM_F_DUMP, AF_INET);
    request_filter(&r, AF_INET, 1, any, whole);
    if (run(nl, &r, pass_wildcard, &f) < 0)
        return -1;
    request_init(&r, NLM_F_DUMP, AF_INET6); /* few: filtered here */
    return run(nl, &r, pass_wildcard, &f);
}

static void keep(void *baton, const sockdiag_socket *s)
{
    *(sockdiag_socket *)baton = *s;
}

int sockdiag_find(int nl, relay_listen_addr addr, sockdiag_socket *s)
{
    sockdiag_socket found = {.inode = 0};
    request r;

    request_init(&r, 0, AF_INET);
    r.req.id.idiag_src[0] = htonl(addr.ip);
    r.req.id.idiag_sport = htons(addr.port);
    if (run(nl, &r, keep, &found) < 0)
        return errno == ENOENT ? 0 : -1;
    /* The kernel falls back on a listener on all addresses. */
    if (found.addr.ip != addr.ip || found.addr.port != addr.port)
        return 0;
    *s = found;
    return 1;
}
