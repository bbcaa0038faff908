/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * How it works, on Linux: connect() to AF_UNSPEC makes a listener a closed socket that is still
 * bound (tcp_disconnect(): SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK). connect() to its own address
 * then makes it its own peer (TCP's simultaneous open, all of it inside the call on loopback). sshd
 * sets SO_REUSEADDR on both sockets (channels.c, channel_setup_fwd_listener_tcpip()), so a socket
 * that does not listen does not keep another one from binding (inet_csk_bind_conflict()). The way
 * back is AF_UNSPEC and listen().
 *
 * Between the calls poll() reports the closed socket as hung up, and sshd would log a failed
 * accept(). Its process is stopped for that time, which is well under a millisecond.
 */

#include "parking.h"
#include "ground/loop.h"
#include "ending.h"
#include "listeners.h"
#include "relay_sockdiag.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 128 /* sshd's (ssh.h, SSH_LISTEN_BACKLOG) */
#define STOP_WITHIN_MS 5

static int disconnect(int fd)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    return connect(fd, &nobody, sizeof(nobody));
}

static int state_of(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -1 : info.tcpi_state;
}

static int is_its_own_peer(int fd)
{
    struct sockaddr_in self = {0}, peer = {0};
    socklen_t slen = sizeof(self), plen = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&self, &slen) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &plen) == 0 && self.sin_family == AF_INET &&
           peer.sin_family == AF_INET && self.sin_port == peer.sin_port &&
           self.sin_addr.s_addr == peer.sin_addr.s_addr;
}

static int listen_again(int fd)
{
    int error;
    socklen_t len = sizeof(error);

    disconnect(fd);
    /* It has sent a reset to itself, which poll() would report. */
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return listen(fd, BACKLOG);
}

static int become_its_own_peer(int fd)
{
    struct sockaddr_in self = {0};
    socklen_t len = sizeof(self);

    if (getsockname(fd, (struct sockaddr *)&self, &len) < 0 || self.sin_family != AF_INET ||
        disconnect(fd) < 0)
        return -1;
    /* The socket is non-blocking: EINPROGRESS means that it is done already. */
    if ((connect(fd, (struct sockaddr *)&self, sizeof(self)) == 0 || errno == EINPROGRESS) &&
        is_its_own_peer(fd))
        return 0;
    listen_again(fd);
    return -1;
}

static int is_parked_at(int fd, const session *s)
{
    struct sockaddr_in self = {0};
    socklen_t len = sizeof(self);
    int i;

    if (!is_its_own_peer(fd) || getsockname(fd, (struct sockaddr *)&self, &len) < 0)
        return 0;
    for (i = 0; i < s->naddrs; i++)
        if (s->addrs[i].ip == ntohl(self.sin_addr.s_addr) &&
            s->addrs[i].port == ntohs(self.sin_port))
            return 1;
    return 0;
}

typedef struct parking {
    session *s;
    int pidfd;
    int failed;
} parking;

static int park_one(void *baton, int fd, uint32_t inode)
{
    parking *k = baton;
    struct stat st;
    int copy;

    if (!listeners_is_held(k->s, inode) || (copy = proc_pidfd_getfd(k->pidfd, fd)) < 0)
        return 0;
    if (fstat(copy, &st) == 0 && st.st_ino == inode && state_of(copy) == TCP_LISTEN &&
        become_its_own_peer(copy) < 0)
        k->failed = 1;
    close(copy);
    return 0;
}

static int restore_one(void *baton, int fd, uint32_t inode)
{
    parking *k = baton;
    int copy = proc_pidfd_getfd(k->pidfd, fd);

    if (copy < 0)
        return 0;
    if (is_parked_at(copy, k->s) && listen_again(copy) < 0 && become_its_own_peer(copy) < 0)
        relay_log(RELAY_LOG_ERR,
                  "RLY462 tunnel %s: a listener of process %d cannot be given back: %s",
                  k->s->tunnel, (int)k->s->child, strerror(errno));
    k->failed |= is_its_own_peer(copy);
    close(copy);
    return 0;
}

/** Stops the process. @return whether it has to be told to go on */
static int stop(pid_t pid, int pidfd)
{
    int64_t until = now_ms() + STOP_WITHIN_MS;
    proc_info info;

    if (proc_read(pid, &info) < 0 || info.state == 'T' || info.state == 't' ||
        proc_pidfd_signal(pidfd, SIGSTOP) < 0)
        return 0;
    while (proc_read(pid, &info) == 0 && info.state != 'T' && now_ms() < until)
        sched_yield();
    return 1;
}

static int turn_all(session *s, int (*turn_one)(void *baton, int fd, uint32_t inode))
{
    parking k = {.s = s, .pidfd = ending_open_child(s)};
    int stopped;

    if (k.pidfd < 0)
        return -1;
    stopped = stop(s->child, k.pidfd);
    proc_each_socket(s->child, turn_one, &k);
    if (stopped)
        proc_pidfd_signal(k.pidfd, SIGCONT);
    close(k.pidfd);
    return k.failed ? -1 : 0;
}

int parking_park(session *s)
{
    if (turn_all(s, park_one) == 0)
        return 0;
    parking_restore(s);
    return -1;
}

int parking_restore(session *s)
{
    return turn_all(s, restore_one);
}

/* ---- after a start */

typedef struct left {
    rlyd *d;
    int n;
} left;

static void count_left(void *baton, const relay_socket *found)
{
    left *l = baton;

    l->n += found->uid == l->d->tunnel_uid;
}

typedef struct recovering {
    rlyd *d;
    pid_t pid;
    int pidfd;
    int stopped;
    int superseded; /* a newer session listens where it did */
} recovering;

static int recover_one(void *baton, int fd, uint32_t inode)
{
    recovering *r = baton;
    struct sockaddr_in self = {0};
    socklen_t len = sizeof(self);
    relay_listen_addr addr;
    int copy = proc_pidfd_getfd(r->pidfd, fd);

    if (copy < 0)
        return 0;
    if (is_its_own_peer(copy) && getsockname(copy, (struct sockaddr *)&self, &len) == 0) {
        addr.ip = ntohl(self.sin_addr.s_addr);
        addr.port = ntohs(self.sin_port);
        if (relay_listen_contains(r->d->cfg->listen, addr)) {
            if (!r->stopped)
                r->stopped = stop(r->pid, r->pidfd);
            if (listen_again(copy) < 0 && errno == EADDRINUSE)
                r->superseded = 1;
        }
    }
    close(copy);
    return 0;
}

static void recover_process(rlyd *d, pid_t pid)
{
    recovering r = {.d = d, .pid = pid};
    proc_info info;

    if (proc_read(pid, &info) < 0 || info.euid != d->tunnel_uid ||
        (r.pidfd = proc_pidfd_open(pid)) < 0)
        return;
    if (proc_read(pid, &info) == 0 && info.euid == d->tunnel_uid && info.ruid == d->tunnel_uid &&
        proc_is_sshd(pid, d->cfg->sshd)) {
        proc_each_socket(pid, recover_one, &r);
        /* rlyd may have been killed while it had stopped the process. */
        if (r.stopped || info.state == 'T')
            proc_pidfd_signal(r.pidfd, SIGCONT);
        if (r.superseded) {
            /* The search for strays would find it, but only once it has been there for a while. */
            relay_log(RELAY_LOG_INFO,
                      "RLY467 process %d was set aside for a newer session, which listens now: it "
                      "is ended",
                      (int)pid);
            proc_pidfd_signal(r.pidfd, SIGTERM);
        }
    }
    close(r.pidfd);
}

void parking_recover(rlyd *d)
{
    left l = {.d = d};
    struct dirent *entry;
    int nl = relay_sockdiag_open();
    DIR *dir;

    if (nl < 0)
        return;
    if (relay_sockdiag_dump_parked(nl, d->cfg->listen, count_left, &l) < 0)
        l.n = 1; /* look, to be sure */
    close(nl);
    if (!l.n || !(dir = opendir("/proc")))
        return;
    while ((entry = readdir(dir)))
        if (atoi(entry->d_name) > 0)
            recover_process(d, (pid_t)atoi(entry->d_name));
    closedir(dir);
}
