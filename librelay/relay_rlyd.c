/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_rlyd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static apr_status_t open_socket(int *out, const char *path, apr_pool_t *p, const char **why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char reason[120];
    int fd, err;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        RELAY_WHY(
            why, p,
            "rlyd's socket %s: the path is longer than %d bytes; choose a shorter [rlyd] socket",
            path, (int)sizeof(addr.sun_path) - 1);
        return RELAY_EUNREACHABLE;
    }
    memcpy(addr.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* connect() on a Unix socket either succeeds at once or says EAGAIN: the backlog is full. */
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
        *out = fd;
        return APR_SUCCESS;
    }
    err = errno;
    if (fd >= 0)
        close(fd);
    RELAY_WHY(why, p, "cannot reach rlyd at %s: %s; %s", path,
              apr_strerror(err, reason, sizeof(reason)),
              err == EAGAIN ? "it does not keep up" : "is rlyd running?");
    return RELAY_EUNREACHABLE;
}

/** @param fds nfds descriptors that go with it */
static apr_status_t send_message(int sock, const char *path, const char *text, const int *fds,
                                 int nfds, apr_pool_t *p, const char **why)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    char reason[120];
    ssize_t n;

    if (iov.iov_len > RELAY_RLYD_MESSAGE_MAX) {
        RELAY_WHY(why, p, "a message to rlyd would be longer than %d bytes",
                  RELAY_RLYD_MESSAGE_MAX);
        return RELAY_EUNREACHABLE;
    }
    if (nfds) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        memcpy(CMSG_DATA(&control.align), fds, (size_t)nfds * sizeof(int));
    }
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        RELAY_WHY(why, p, "cannot send to rlyd at %s: %s", path,
                  apr_strerror(errno, reason, sizeof(reason)));
        return RELAY_EUNREACHABLE;
    }
    return APR_SUCCESS;
}

apr_status_t relay_rlyd_handoff(const char *socket_path, int fd, relay_rlyd_way way, int visitor,
                                apr_pool_t *p, const char **why)
{
    const int fds[] = {fd, visitor};
    apr_status_t rv;
    int sock;

    if ((rv = open_socket(&sock, socket_path, p, why)) != APR_SUCCESS)
        return rv;
    if (way == RELAY_RLYD_TLS)
        rv =
            send_message(sock, socket_path, RELAY_RLYD_PROTOCOL " handoff way=tls", fds, 2, p, why);
    else
        rv = send_message(sock, socket_path, RELAY_RLYD_PROTOCOL " handoff way=direct", fds, 1, p,
                          why);
    close(sock);
    return rv;
}

/** Waits for one packet until the deadline. @return its length, or -1 */
static ssize_t receive_until(int sock, char *buf, size_t size, apr_time_t deadline)
{
    for (;;) {
        struct pollfd pfd = {.fd = sock, .events = POLLIN};
        apr_interval_time_t left = deadline - apr_time_now();
        ssize_t n = recv(sock, buf, size, 0);

        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return -1;
        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (poll(&pfd, 1, (int)apr_time_as_msec(left) + 1) < 0 && errno != EINTR)
            return -1;
    }
}

/** Sends a report and waits for the answer. */
static apr_status_t report(const char *socket_path, const char *text, apr_interval_time_t timeout,
                           apr_pool_t *p, const char **why)
{
    static const char ok[] = RELAY_RLYD_PROTOCOL " ok", no[] = RELAY_RLYD_PROTOCOL " no ";
    apr_time_t deadline = apr_time_now() + timeout;
    char answer[RELAY_RLYD_MESSAGE_MAX + 1], reason[120];
    apr_status_t rv;
    ssize_t n;
    int sock;

    if ((rv = open_socket(&sock, socket_path, p, why)) != APR_SUCCESS)
        return rv;
    rv = send_message(sock, socket_path, text, NULL, 0, p, why);
    if (rv != APR_SUCCESS) {
        close(sock);
        return rv;
    }
    n = receive_until(sock, answer, sizeof(answer) - 1, deadline);
    if (n < 0)
        RELAY_WHY(why, p, "no answer from rlyd at %s: %s", socket_path,
                  apr_strerror(errno, reason, sizeof(reason)));
    close(sock);
    if (n < 0)
        return RELAY_EUNREACHABLE;
    answer[n] = '\0';
    if (strcmp(answer, ok) == 0)
        return APR_SUCCESS;
    if (strncmp(answer, no, sizeof(no) - 1) == 0) {
        RELAY_WHY(why, p, "rlyd did not take the login report: %s", answer + sizeof(no) - 1);
        return RELAY_EREFUSED;
    }
    RELAY_WHY(why, p, "rlyd at %s %s", socket_path,
              n ? "answered in no known form" : "closed the connection");
    return RELAY_EUNREACHABLE;
}

apr_status_t relay_rlyd_login(const char *socket_path, const relay_grant *grant,
                              const char *fingerprint, apr_interval_time_t timeout, apr_pool_t *p,
                              const char **why)
{
    const char *text;
    int i;

    text = apr_psprintf(p,
                        RELAY_RLYD_PROTOCOL " login tunnel=%s key=%s expires=%" APR_INT64_T_FMT
                                            " listen=",
                        grant->tunnel, fingerprint, (apr_int64_t)apr_time_as_msec(grant->expires));
    for (i = 0; i < grant->naddrs; i++)
        text =
            apr_pstrcat(p, text, i ? "," : "", relay_listen_addr_print(grant->addrs[i], p), NULL);
    return report(socket_path, text, timeout, p, why);
}

const char *relay_rlyd_refusal_word(relay_rlyd_refusal refusal)
{
    static const char *const words[] = {
        [RELAY_RLYD_UNKNOWN] = "unknown", [RELAY_RLYD_CLOSED] = "closed",
        [RELAY_RLYD_EXPIRED] = "expired", [RELAY_RLYD_ELSEWHERE] = "elsewhere",
        [RELAY_RLYD_RECORD] = "record",   [RELAY_RLYD_REDIS] = "redis",
    };

    return words[refusal];
}

apr_status_t relay_rlyd_refused(const char *socket_path, relay_rlyd_refusal refusal,
                                const char *fingerprint, const char *tunnel,
                                apr_interval_time_t timeout, apr_pool_t *p, const char **why)
{
    const char *text = apr_pstrcat(p, RELAY_RLYD_PROTOCOL " refused key=", fingerprint,
                                   " why=", relay_rlyd_refusal_word(refusal),
                                   tunnel ? " tunnel=" : "", tunnel, NULL);

    return report(socket_path, text, timeout, p, why);
}
