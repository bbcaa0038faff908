/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "foreign.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel (include/net/scm.h): with room for so many the kernel never has to close
 * one itself (MSG_CTRUNC). */
#define FDS_MAX 253

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/** @return how many descriptors came; -1 when it is not the whole message */
static int receive(int sock, int *fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    char text[RELAY_RLYD_MESSAGE_MAX];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c;
    int n = 0;

    if (recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
        return -1;
    for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t i, count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count && n < FDS_MAX; i++)
            memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -1 : n;
}

/** @return the option's value; -1 if fd is no socket. The kernel answers these options without the
 * socket's lock (sk_getsockopt()). */
static int property(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/** @param what the sentence for other kinds of descriptors */
static const char *check_tcp(int fd, foreign *out, const char *what)
{
    static const struct linger none = {.l_onoff = 0};
    int family = property(fd, SO_DOMAIN), protocol = property(fd, SO_PROTOCOL);
    socklen_t len = sizeof(out->peer);

    if ((family != AF_INET && family != AF_INET6) || property(fd, SO_TYPE) != SOCK_STREAM ||
        (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) || property(fd, SO_ACCEPTCONN) != 0)
        return what;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    memset(&out->peer, 0, sizeof(out->peer));
    if (getpeername(fd, (struct sockaddr *)&out->peer, &len) < 0) {
        out->gone = 1;
        return "it is not connected, or no longer";
    }
    return NULL;
}

static int is_unnamed(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);

    return name(fd, (struct sockaddr *)&addr, &len) == 0 && len <= sizeof(sa_family_t);
}

/** Checks that it is one end of a pair. On a connection to somebody's socket sshd, as root, would
 * speak there in the name of the peer that handed it over. */
static const char *check_pair(int fd)
{
    if (property(fd, SO_DOMAIN) != AF_UNIX || property(fd, SO_TYPE) != SOCK_STREAM)
        return "what it hands over first, for TLS, is no stream socket of the Unix kind";
    if (!is_unnamed(fd, getpeername) || !is_unnamed(fd, getsockname))
        return "what it hands over first, for TLS, is not one end of a pair";
    return NULL;
}

const char *foreign_take(int sock, relay_rlyd_way way, foreign *out)
{
    int fds[FDS_MAX], n;
    const char *why;

    out->gone = 0;
    n = receive(sock, fds);
    close(sock);
    if (n < 0)
        return "its message cannot be read whole";
    if (n != (way == RELAY_RLYD_TLS ? 2 : 1))
        return "a direct hand-off comes with one descriptor, one by TLS with two";
    out->fd = fds[0];
    if (way == RELAY_RLYD_DIRECT)
        return check_tcp(fds[0], out, "what it hands over is no TCP connection");
    if ((why = check_pair(fds[0])) == NULL)
        why = check_tcp(fds[1], out, "what it hands over second, for TLS, is no TCP connection");
    /* httpd has this connection open, too, and goes on with it: so no shutdown(). Kept here, it
     * would outlive httpd's end. */
    close(fds[1]);
    return why;
}
