/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "door.h"
#include "admission.h"
#include "daemon.h"
#include "message.h"
#include "refusal.h"
#include "session.h"
#include "spawn.h"
#include "transport.h"

#include <errno.h>
#include <event2/util.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS_MAX 1000
#define PEER_IDLE_MS 5000
#define USERS_MAX 16
#define PAUSE_MS 100
#define FLOOD_MS 10000
#define FDS_MAX 4

typedef struct peer {
    struct peer *next, **at;
    rlyd *d;
    struct event *ev;
    struct ucred who;
    int fd;
} peer;

struct door {
    int fd;
    const char *path;
    struct event *ev, *pause;
    int nusers;
    uid_t users[USERS_MAX];
    peer *peers;
    int npeers, draining, starved;
    int64_t refused_gate, stranger_gate, broken_gate, spawn_gate;
    unsigned refused; /* since the last line about it */
};

static void peer_drop(peer *p)
{
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    p->d->door->npeers--;
    event_free(p->ev);
    close(p->fd);
    free(p);
}

static void answer(const peer *p, const char *text)
{
    if (send(p->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        relay_log(RELAY_LOG_DEBUG, "RLY401 process %d did not wait for its answer", (int)p->who.pid);
}

/* ---- hand-off */

static void refuse(rlyd *d, int fd, const char *from, const char *why)
{
    static const char farewell[] = "Exceeded MaxStartups\r\n"; /* sshd's own words */
    struct door *door = d->door;

    door->refused++;
    if (gate_open(&door->refused_gate, FLOOD_MS)) {
        relay_log(RELAY_LOG_WARNING, "RLY402 connection from %s refused: %s; %u refused since the last such line", from,
                  why, door->refused);
        door->refused = 0;
    }
    send(fd, farewell, sizeof farewell - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/** Where the connection comes from: the kernel knows for a direct one, the message says it for one through TLS. */
static int source_of(const message *m, int fd, struct sockaddr_storage *addr)
{
    int len = sizeof *addr;
    socklen_t slen = sizeof *addr;

    memset(addr, 0, sizeof *addr);
    if (m->way == RELAY_RLYD_TLS)
        return evutil_parse_sockaddr_port(m->peer, (struct sockaddr *)addr, &len);
    if (getpeername(fd, (struct sockaddr *)addr, &slen) < 0)
        return -1;
    return addr->ss_family == AF_INET || addr->ss_family == AF_INET6 ? 0 : -1;
}

static void take_connection(rlyd *d, const message *m, int fd)
{
    struct sockaddr_storage addr;
    char from[RLYD_PEER_MAX];
    struct source *source;
    const char *why;
    pid_t pid;
    int err;

    if (source_of(m, fd, &addr) < 0)
        return; /* it has gone already, or is no connection at all */
    transport_print((struct sockaddr *)&addr, from, sizeof from);
    if (!(source = admission_enter(d, (struct sockaddr *)&addr, &why))) {
        refuse(d, fd, from, why);
        return;
    }
    if (m->way == RELAY_RLYD_DIRECT)
        transport_tune(fd);
    if ((err = spawn_sshd(d, fd, &pid)) != 0) {
        admission_leave(d, source);
        if (gate_open(&d->door->spawn_gate, FLOOD_MS))
            relay_log(RELAY_LOG_ERR, "RLY403 cannot start %s for %s: %s", d->cfg->sshd, from, strerror(err));
        return;
    }
    session_started(d, pid, m->way == RELAY_RLYD_TLS ? WAY_TLS : WAY_DIRECT, from, source);
}

/* ---- login */

/** The sshd monitor that the peer is a child of. @return NULL, or what is wrong */
static const char *monitor_of(const peer *p, proc_info *monitor)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLRDHUP};
    proc_info self;

    if (proc_read(p->who.pid, &self) < 0 || self.euid != p->who.uid || proc_read(self.ppid, monitor) < 0)
        return "the process that asks is gone";
    /* As long as it holds its end open the pid is still its own, and so is its parent. */
    if (poll(&pfd, 1, 0) != 0)
        return "the process that asks did not wait";
    /* Not its euid: sshd takes on AuthorizedKeysCommandUser's for a while (auth2-pubkey.c, temporarily_use_uid()). */
    if (monitor->ruid != getuid() || !proc_is_sshd(monitor->pid, p->d->cfg->sshd))
        return "its parent is no sshd";
    return NULL;
}

static void take_login(peer *p, const message *m)
{
    char text[RELAY_RLYD_MESSAGE_MAX];
    proc_info monitor;
    const char *wrong = monitor_of(p, &monitor);

    if (wrong) {
        relay_log(RELAY_LOG_INFO, "RLY404 tunnel %s: login report refused: %s", m->tunnel[0] ? m->tunnel : "(none)", wrong);
        apr_snprintf(text, sizeof text, RELAY_RLYD_PROTOCOL " no %s", wrong);
        answer(p, text);
        return;
    }
    if (m->verb == MESSAGE_REFUSED)
        refusal_reported(p->d, &monitor, m);
    else
        session_offered(p->d, &monitor, p->who.pid, m);
    answer(p, RELAY_RLYD_PROTOCOL " ok");
}

/* ---- peers */

/** Receives one packet and what descriptors come with it. @return its length, or -1 */
static ssize_t receive(int sock, char *buf, size_t size, int *fds, int *nfds, int *truncated)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c;
    ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *nfds = 0;
    if (n < 0)
        return -1;
    for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t i, count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count && *nfds < FDS_MAX; i++)
            memcpy(&fds[(*nfds)++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    *truncated = (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    return n;
}

static void complain(peer *p, const char *why)
{
    if (gate_open(&p->d->door->broken_gate, FLOOD_MS))
        relay_log(RELAY_LOG_WARNING, "RLY405 process %d (uid %d) at the socket is dropped: %s", (int)p->who.pid,
                  (int)p->who.uid, why);
}

/** @return 1 while the peer may go on */
static int peer_take(peer *p)
{
    char buf[RELAY_RLYD_MESSAGE_MAX + 1];
    int fds[FDS_MAX] = {-1}, nfds, truncated, i, keep = 1;
    const char *why = NULL;
    ssize_t n = receive(p->fd, buf, sizeof buf, fds, &nfds, &truncated);
    message m;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (n <= 0)
        keep = 0;
    else if (truncated)
        why = "its message is too long, or no descriptor is free for what it hands over";
    else if (message_parse(&m, buf, (size_t)n, &why) == 0 && nfds != (m.verb == MESSAGE_HANDOFF))
        why = "a hand-off comes with one descriptor, a login with none";
    if (keep && !why && m.verb == MESSAGE_HANDOFF)
        take_connection(p->d, &m, fds[0]);
    else if (keep && !why)
        take_login(p, &m);
    if (why)
        complain(p, why);
    for (i = 0; i < nfds; i++)
        close(fds[i]);
    return keep && !why;
}

static void on_peer(evutil_socket_t fd, short what, void *arg)
{
    peer *p = arg;

    (void)fd;
    if (what & EV_TIMEOUT || !peer_take(p))
        peer_drop(p);
}

static int may_speak(const struct door *door, uid_t uid)
{
    int i;

    for (i = 0; i < door->nusers; i++)
        if (door->users[i] == uid)
            return 1;
    return uid == 0;
}

static void peer_new(rlyd *d, int fd)
{
    static const struct timeval idle = {.tv_sec = PEER_IDLE_MS / 1000};
    struct door *door = d->door;
    socklen_t len = sizeof(struct ucred);
    struct ucred who;
    peer *p;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || !may_speak(door, who.uid)) {
        if (gate_open(&door->stranger_gate, FLOOD_MS))
            relay_log(RELAY_LOG_WARNING, "RLY406 uid %d may not speak here ([rlyd] users)", (int)who.uid);
        close(fd);
        return;
    }
    p = must_alloc(sizeof *p);
    p->d = d;
    p->fd = fd;
    p->who = who;
    p->ev = event_new(d->base, fd, EV_READ | EV_PERSIST, on_peer, p);
    p->next = door->peers;
    p->at = &door->peers;
    if (p->next)
        p->next->at = &p->next;
    door->peers = p;
    door->npeers++;
    if (!p->ev || event_add(p->ev, &idle) < 0)
        abort();
}

/** Out of descriptors or crowded: leave them in the queue for a moment. */
static void pause_accepting(rlyd *d, const char *why)
{
    struct door *door = d->door;

    if (!door->starved)
        relay_log(RELAY_LOG_ERR, "RLY407 the socket cannot take more: %s; %u sessions", why, session_count(d));
    door->starved = 1;
    event_del(door->ev);
    timer_arm(door->pause, PAUSE_MS);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    (void)fd;
    (void)what;
    if (d->door->ev)
        event_add(d->door->ev, NULL);
}

/** @return a new peer's descriptor; -1 with errno EMFILE when only the reserve is left */
static int accept_one(const struct door *door)
{
    int probe = fcntl(door->fd, F_DUPFD_CLOEXEC, 0), scarce = probe < 0 || daemon_is_scarce(probe);

    if (probe >= 0)
        close(probe);
    if (!scarce)
        return accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    errno = EMFILE;
    return -1;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    int one;

    (void)fd;
    (void)what;
    while (d->door->npeers < PEERS_MAX) {
        one = accept_one(d->door);
        if (one < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(d, strerror(errno));
            else if (d->door->starved && errno == EAGAIN) {
                d->door->starved = 0;
                relay_log(RELAY_LOG_NOTICE, "RLY408 the socket takes peers again");
            }
            return;
        }
        peer_new(d, one);
    }
    pause_accepting(d, "too many peers");
}

void door_drain(rlyd *d)
{
    struct door *door = d->door;
    peer *p, *next;

    if (door->draining || door->fd < 0)
        return;
    door->draining = 1;
    on_accept(door->fd, EV_READ, d);
    for (p = door->peers; p; p = next) {
        next = p->next;
        if (!peer_take(p))
            peer_drop(p);
    }
    door->draining = 0;
}

/* ---- the socket itself */

static void read_users(rlyd *d)
{
    char *names = apr_pstrdup(d->cfg_pool, d->cfg->rlyd_users), *state, *name;
    struct door *door = d->door;

    door->nusers = 0;
    for (name = apr_strtok(names, " \t,", &state); name; name = apr_strtok(NULL, " \t,", &state)) {
        struct passwd *pw = getpwnam(name);

        if (!pw || door->nusers == USERS_MAX)
            relay_log(RELAY_LOG_WARNING, "RLY409 [rlyd] users: %s: %s", name, pw ? "too many" : "there is no such user");
        else
            door->users[door->nusers++] = pw->pw_uid;
    }
}

static apr_status_t bind_socket(int fd, const char *path, apr_pool_t *p, const char **why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int rc;

    if (strlen(path) >= sizeof addr.sun_path) {
        RELAY_WHY(why, p, "[rlyd] socket %s: the path is longer than %d bytes", path, (int)sizeof addr.sun_path - 1);
        return APR_EGENERAL;
    }
    memcpy(addr.sun_path, path, strlen(path));
    unlink(path);
    mask = umask(0111); /* who may speak is decided by credentials */
    rc = bind(fd, (struct sockaddr *)&addr, sizeof addr);
    umask(mask);
    if (rc < 0 || listen(fd, SOMAXCONN) < 0) {
        RELAY_WHY(why, p, "[rlyd] socket %s: cannot listen: %s", path, strerror(errno));
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t door_open(rlyd *d, apr_pool_t *p, const char **why)
{
    struct door *door = d->door;
    apr_status_t rv;

    if (!door) {
        door = d->door = apr_pcalloc(d->pool, sizeof *door);
        door->pause = timer_new(d, on_pause_over, d);
    }
    read_users(d);
    door->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (door->fd < 0) {
        RELAY_WHY(why, p, "cannot make a socket: %s", strerror(errno));
        return APR_EGENERAL;
    }
    if ((rv = bind_socket(door->fd, d->cfg->rlyd_socket, p, why)) != APR_SUCCESS) {
        close(door->fd);
        door->fd = -1;
        return rv;
    }
    door->path = apr_pstrdup(d->pool, d->cfg->rlyd_socket);
    door->ev = event_new(d->base, door->fd, EV_READ | EV_PERSIST, on_accept, d);
    event_add(door->ev, NULL);
    return APR_SUCCESS;
}

apr_status_t door_reload(rlyd *d, apr_pool_t *p, const char **why)
{
    read_users(d);
    if (strcmp(d->door->path, d->cfg->rlyd_socket) == 0)
        return APR_SUCCESS;
    door_close(d);
    return door_open(d, p, why);
}

void door_close(rlyd *d)
{
    struct door *door = d->door;

    if (!door || door->fd < 0)
        return;
    event_free(door->ev);
    door->ev = NULL;
    unlink(door->path);
    close(door->fd);
    door->fd = -1;
}
