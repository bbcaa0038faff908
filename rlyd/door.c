/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "door.h"
#include "ground/loop.h"
#include "ground/daemon.h"
#include "ground/message.h"
#include "session/outcome.h"
#include "session/session.h"
#include "usher.h"

#include <errno.h>
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

typedef struct peer {
    struct peer *next, **at;
    rlyd *d;
    struct event *ev;
    struct ucred who;
    int fd;
    int waits; /* it has a hand-off, and waits for an usher */
} peer;

struct door {
    int fd;
    const char *path;
    struct event *ev, *pause;
    int nusers;
    uid_t users[USERS_MAX];
    peer *peers;
    int npeers, draining, starved;
    int64_t stranger_gate, broken_gate;
};

/** Forgets the peer; its descriptor is somebody else's from now on. */
static void peer_forget(peer *p)
{
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    p->d->door->npeers--;
    event_free(p->ev);
    free(p);
}

static void peer_drop(peer *p)
{
    rlyd *d = p->d;
    int fd = p->fd;

    peer_forget(p);
    usher_close(d, fd);
}

static void answer(const peer *p, const char *text)
{
    if (send(p->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        relay_log(RELAY_LOG_DEBUG, "RLY401 process %d did not wait for its answer",
                  (int)p->who.pid);
}

/* ---- login */

/** The sshd monitor that the peer is a child of. @return NULL, or what is wrong */
static const char *monitor_of(const peer *p, proc_info *monitor)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLRDHUP};
    proc_info self;

    if (proc_read(p->who.pid, &self) < 0 || self.euid != p->who.uid ||
        proc_read(self.ppid, monitor) < 0)
        return "the process that asks is gone";
    /* The peer still holds its end open, so its pid is still its own, and its parent, too. */
    if (poll(&pfd, 1, 0) != 0)
        return "the process that asks did not wait";
    /* The monitor's euid says nothing: sshd takes on AuthorizedKeysCommandUser's for a while
     * (auth2-pubkey.c, temporarily_use_uid()). */
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
        relay_log(RELAY_LOG_INFO, "RLY404 tunnel %s: login report refused: %s",
                  m->tunnel[0] ? m->tunnel : "(none)", wrong);
        apr_snprintf(text, sizeof(text), RELAY_RLYD_PROTOCOL " no %s", wrong);
        answer(p, text);
        return;
    }
    if (m->verb == MESSAGE_REFUSED)
        outcome_refused(p->d, &monitor, m);
    else
        session_offered(p->d, &monitor, p->who.pid, m);
    answer(p, RELAY_RLYD_PROTOCOL " ok");
}

/* ---- peers */

static void complain(peer *p, const char *why)
{
    if (gate_open(&p->d->door->broken_gate, FLOOD_MS))
        relay_log(RELAY_LOG_WARNING, "RLY405 process %d (uid %d) at the socket is dropped: %s",
                  (int)p->who.pid, (int)p->who.uid, why);
}

typedef enum { PEER_STAYS, PEER_GOES, PEER_IS_GIVEN } peer_fate;

static peer_fate take_message(peer *p, const message *m)
{
    char waste[RELAY_RLYD_MESSAGE_MAX];

    if (m->verb == MESSAGE_HANDOFF) {
        /* The event goes first: epoll would go on with a socket that another process has open. */
        event_del(p->ev);
        if (usher_receive(p->d, p->fd, &p->who, m) == 0)
            return PEER_IS_GIVEN;
        p->waits = 1;
        return PEER_STAYS;
    }
    if (recv(p->fd, waste, sizeof(waste), MSG_DONTWAIT) < 0)
        return PEER_GOES;
    take_login(p, m);
    return PEER_STAYS;
}

static peer_fate peer_look(peer *p)
{
    char buf[RELAY_RLYD_MESSAGE_MAX + 1];
    const char *why = NULL;
    message m;
    size_t len;
    head_kind kind = usher_look(p->fd, buf, sizeof(buf), &len);

    if (kind == HEAD_NONE)
        return PEER_STAYS;
    if (kind == HEAD_CLOSED || kind == HEAD_UNKNOWN)
        return PEER_GOES;
    if (message_parse(&m, buf, len, &why) == 0 &&
        (m.verb == MESSAGE_HANDOFF) != (kind == HEAD_CARRIES))
        why = "a hand-off comes with descriptors, a login with none";
    if (!why)
        return take_message(p, &m);
    complain(p, why);
    return PEER_GOES;
}

static void peer_take(peer *p)
{
    peer_fate fate = p->waits ? PEER_STAYS : peer_look(p);

    if (fate == PEER_GOES)
        peer_drop(p);
    else if (fate == PEER_IS_GIVEN)
        peer_forget(p);
}

static void on_peer(evutil_socket_t fd, short what, void *arg)
{
    peer *p = arg;

    if (what & EV_TIMEOUT)
        peer_drop(p);
    else
        peer_take(p);
}

static const struct timeval idle = {.tv_sec = PEER_IDLE_MS / 1000};

void door_resume(rlyd *d)
{
    peer *p;

    for (p = d->door->peers; p; p = p->next)
        if (p->waits) {
            p->waits = 0;
            event_add(p->ev, &idle);
        }
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
    struct door *door = d->door;
    socklen_t len = sizeof(struct ucred);
    struct ucred who;
    peer *p;

    usher_prepare(fd);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || !may_speak(door, who.uid)) {
        if (gate_open(&door->stranger_gate, FLOOD_MS))
            relay_log(RELAY_LOG_WARNING, "RLY406 uid %d may not speak here ([rlyd] users)",
                      (int)who.uid);
        usher_close(d, fd);
        return;
    }
    p = must_alloc(sizeof(*p));
    memset(p, 0, sizeof(*p));
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

/** Leaves new peers in the queue for a moment: descriptors are scarce, or the room is full. */
static void pause_accepting(rlyd *d, const char *why)
{
    struct door *door = d->door;

    if (!door->starved)
        relay_log(RELAY_LOG_ERR, "RLY407 the socket cannot take more: %s; %u sessions", why,
                  session_count(d));
    door->starved = 1;
    event_del(door->ev);
    timer_arm(door->pause, PAUSE_MS);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

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
        peer_take(p);
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
            relay_log(RELAY_LOG_WARNING, "RLY409 [rlyd] users: %s: %s", name,
                      pw ? "too many" : "there is no such user");
        else
            door->users[door->nusers++] = pw->pw_uid;
    }
}

static apr_status_t bind_socket(int fd, const char *path, apr_pool_t *p, const char **why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t mask;
    int rc;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        RELAY_WHY(why, p, "[rlyd] socket %s: the path is longer than %d bytes", path,
                  (int)sizeof(addr.sun_path) - 1);
        return APR_EGENERAL;
    }
    memcpy(addr.sun_path, path, strlen(path));
    unlink(path);
    mask = umask(0111); /* who may speak is decided by credentials */
    rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
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
        door = d->door = apr_pcalloc(d->pool, sizeof(*door));
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
    if (!d->stopping) /* else it is closed with the process, see usher.h */
        usher_dispose(d, door->fd);
    door->fd = -1;
}
