/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "transport.h"
#include "proc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel's probes wake no process, neither here nor at the client, and keep a NAT's mapping. So
 * ssh's own keepalives can be rarer. Probes go out at 16, 24 and 32 s of silence, and at the last
 * the kernel gives up. Data on its way keeps the probes back, but has the same time to be
 * acknowledged. So nothing half-open lives for longer than 60 s. */
#define KEEP_IDLE_S 16
#define KEEP_INTERVAL_S 8
#define USER_TIMEOUT_MS TRANSPORT_SILENCE_MS

void transport_tune(int fd)
{
    static const int on = 1, idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, count = 4;
    static const unsigned timeout = USER_TIMEOUT_MS;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

int transport_is_tuned(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on;
}

typedef struct seeking {
    int pidfd, found;
} seeking;

static int is_transport(void *baton, int fd, uint32_t inode)
{
    seeking *s = baton;
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    int copy = proc_pidfd_getfd(s->pidfd, fd);

    if (copy < 0)
        return 0;
    if (getpeername(copy, (struct sockaddr *)&addr, &len) == 0 &&
        (addr.ss_family == AF_INET || addr.ss_family == AF_INET6)) {
        s->found = copy;
        return 1;
    }
    close(copy);
    return 0;
}

int transport_open(int monitor, int pidfd)
{
    seeking s = {.pidfd = pidfd, .found = -1};

    if (pidfd >= 0)
        proc_each_socket(monitor, is_transport, &s);
    return s.found;
}

void transport_print(const struct sockaddr *addr, char *out, size_t size)
{
    const struct sockaddr_in *in = (const void *)addr;
    const struct sockaddr_in6 *in6 = (const void *)addr;
    char text[INET6_ADDRSTRLEN] = "?";

    if (addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        snprintf(out, size, "%s:%u", text, ntohs(in->sin_port));
    }
    else if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
        snprintf(out, size, "%s:%u", text, ntohs(in6->sin6_port));
    }
    else if (addr->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        snprintf(out, size, "[%s]:%u", text, ntohs(in6->sin6_port));
    }
    else {
        snprintf(out, size, "?");
    }
}

int transport_peer(int fd, char *out, size_t size)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0 || len == 0)
        return -1;
    transport_print((struct sockaddr *)&addr, out, size);
    return 0;
}

int transport_is_silent(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return 0;
    if (info.tcpi_state != TCP_ESTABLISHED)
        return 1;
    return info.tcpi_last_data_recv >= TRANSPORT_SILENCE_MS &&
           info.tcpi_last_ack_recv >= TRANSPORT_SILENCE_MS;
}

int transport_rtt_ms(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || !info.tcpi_rtt)
        return -1;
    return (int)(info.tcpi_rtt / 1000) + 1;
}
