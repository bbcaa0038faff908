/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_sockdiag.h"

#include <apr_atomic.h>
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

/* One condition of the filter, an address with its prefix, and the jump to the
 * end that follows it. */
#define COND_SIZE \
    (sizeof(struct inet_diag_bc_op) + sizeof(struct inet_diag_hostcond) + sizeof(uint32_t))
#define JUMP_SIZE sizeof(struct inet_diag_bc_op)
/* One for each block, and one for 0.0.0.0. */
#define PREFIXES_MAX (RELAY_LISTEN_BLOCKS_MAX + 1)
#define FILTER_MAX (PREFIXES_MAX * (COND_SIZE + JUMP_SIZE))
/* The kernel's LOOPBACK_IFINDEX, the same in each network namespace. A look-up without it would not
 * see a listener that is bound to the device `lo`, though connections meet it first
 * (compute_score()). */
#define LOOPBACK 1
#define BUFFER 32768

typedef struct request {
    struct nlmsghdr nlh;
    struct inet_diag_req_v2 req;
    char filter[NLA_HDRLEN + FILTER_MAX];
} request;

int relay_sockdiag_open(void)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int size = 1 << 20,
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    return fd;
}

static void request_init(request *r, int flags, int family)
{
    memset(r, 0, sizeof(*r));
    r->nlh.nlmsg_len = NLMSG_LENGTH(sizeof(r->req));
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
 * Appends the filter: source address in one of n prefixes. A program of conditional jumps (the
 * kernel's inet_diag_bc_run()): to land exactly at its end accepts, to land beyond it rejects.
 */
static void request_filter(request *r, int family, int n, const uint32_t *addr, const int *prefix)
{
    struct nlattr *attr = (struct nlattr *)(void *)r->filter;
    char *at = r->filter + NLA_HDRLEN;
    int i, total = n * (int)(COND_SIZE + JUMP_SIZE) - (int)JUMP_SIZE;

    for (i = 0; i < n; i++) {
        struct inet_diag_bc_op *op = (void *)at;
        struct inet_diag_hostcond *cond = (void *)(at + sizeof(*op));
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

/* What rlyd parks (rlyd/session/parking.h): connected to itself. */
static int is_its_own_peer(const struct inet_diag_msg *m)
{
    return m->idiag_family == AF_INET && m->id.idiag_src[0] == m->id.idiag_dst[0] &&
           m->id.idiag_sport == m->id.idiag_dport;
}

static int take(const struct nlmsghdr *nlh, relay_socket *s)
{
    const struct inet_diag_msg *m = NLMSG_DATA(nlh);
    const uint32_t *src = m->id.idiag_src;

    if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return 0;
    memset(s, 0, sizeof(*s));
    s->listens = m->idiag_state == TCP_LISTEN;
    s->parked = is_its_own_peer(m);
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
    int left = (int)nlh->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*m));

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
    char buf[1024];

    while (recv(nl, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        ;
}

static int run(int nl, request *r, relay_sockdiag_fn *fn, void *baton)
{
    static volatile apr_uint32_t seqs;
    apr_uint32_t seq = apr_atomic_inc32(&seqs) + 1;
    _Alignas(8) char buf[BUFFER];

    drain(nl);
    r->nlh.nlmsg_seq = seq;
    if (send(nl, r, r->nlh.nlmsg_len, 0) < 0)
        return -1;
    for (;;) {
        ssize_t n = recv(nl, buf, sizeof(buf), 0);
        struct nlmsghdr *nlh = (void *)buf;
        unsigned left = (unsigned)n;
        relay_socket s;

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
    relay_sockdiag_fn *fn;
    void *baton;
} filtered;

static int is_port_of(const relay_listen_space *space, apr_uint16_t port)
{
    int i;

    for (i = 0; i < space->nblocks; i++)
        if (port >= space->block[i].port_lo && port <= space->block[i].port_hi)
            return 1;
    return 0;
}

static void pass_inside(void *baton, const relay_socket *s)
{
    const filtered *f = baton;

    if (s->listens && (s->wildcard ? is_port_of(f->space, s->addr.port)
                                   : relay_listen_contains(f->space, s->addr)))
        f->fn(f->baton, s);
}

/** The prefixes that the space lies in. @return how many */
static int prefixes(const relay_listen_space *space, uint32_t *addr, int *prefix)
{
    int i;

    for (i = 0; i < space->nblocks; i++) {
        addr[i] = space->block[i].first;
        prefix[i] = common_prefix(space->block[i].first, space->block[i].last);
    }
    return i;
}

int relay_sockdiag_dump(int nl, const relay_listen_space *space, relay_sockdiag_fn *fn, void *baton)
{
    uint32_t addr[PREFIXES_MAX] = {0};
    int prefix[PREFIXES_MAX] = {32};
    filtered f = {space, fn, baton};
    request r;

    request_init(&r, NLM_F_DUMP, AF_INET);
    request_filter(&r, AF_INET, 1 + prefixes(space, addr + 1, prefix + 1), addr, prefix);
    if (run(nl, &r, pass_inside, &f) < 0)
        return -1;
    request_init(&r, NLM_F_DUMP, AF_INET6); /* few: filtered here */
    return run(nl, &r, pass_inside, &f);
}

static void pass_parked(void *baton, const relay_socket *s)
{
    const filtered *f = baton;

    if (s->parked && relay_listen_contains(f->space, s->addr))
        f->fn(f->baton, s);
}

int relay_sockdiag_dump_parked(int nl, const relay_listen_space *space, relay_sockdiag_fn *fn,
                               void *baton)
{
    uint32_t addr[PREFIXES_MAX];
    int prefix[PREFIXES_MAX];
    filtered f = {space, fn, baton};
    request r;

    request_init(&r, NLM_F_DUMP, AF_INET);
    request_filter(&r, AF_INET, prefixes(space, addr, prefix), addr, prefix);
    r.req.idiag_states = 1U << TCP_ESTABLISHED;
    return run(nl, &r, pass_parked, &f);
}

static void keep(void *baton, const relay_socket *s)
{
    *(relay_socket *)baton = *s;
}

/** The kernel looks for a connection of both ends, and then for the listener that would get it. */
static int find(int nl, relay_listen_addr addr, relay_listen_addr peer, relay_socket *s)
{
    relay_socket found = {.addr = {0, 0}};
    request r;

    request_init(&r, 0, AF_INET);
    r.req.id.idiag_if = LOOPBACK;
    r.req.id.idiag_src[0] = htonl(addr.ip);
    r.req.id.idiag_sport = htons(addr.port);
    r.req.id.idiag_dst[0] = htonl(peer.ip);
    r.req.id.idiag_dport = htons(peer.port);
    if (run(nl, &r, keep, &found) < 0)
        return errno == ENOENT ? 0 : -1;
    *s = found;
    return found.addr.port == addr.port;
}

int relay_sockdiag_listener(int nl, relay_listen_addr addr, relay_socket *s)
{
    static const relay_listen_addr nobody = {0, 0};
    int rc = find(nl, addr, nobody, s);

    return rc == 1 ? s->listens : rc;
}

int relay_sockdiag_find(int nl, relay_listen_addr addr, relay_socket *s)
{
    relay_socket found;
    int rc = relay_sockdiag_listener(nl, addr, &found);

    if (rc != 1)
        return rc;
    if (found.addr.ip != addr.ip)
        return 0;
    *s = found;
    return 1;
}

int relay_sockdiag_end(int nl, relay_listen_addr addr, relay_listen_addr peer, relay_socket *s)
{
    int rc = find(nl, addr, peer, s);

    return rc == 1 ? !s->listens : rc;
}
