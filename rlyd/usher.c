/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "usher.h"
#include "ground/loop.h"
#include "session/admission.h"
#include "ground/daemon.h"
#include "ground/foreign.h"
#include "session/session.h"
#include "ground/spawn.h"
#include "ground/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USHERS_MAX 64
#define TICK_MS 50
#define HANGS_MS 3000
#define DISPOSE_MAX 256
#define DISPOSE_AFTER_MS 20
#define FLOOD_MS 10000

/* The descriptors of an usher: its end of the channel to rlyd, and the socket that it serves. */
#define CHANNEL_FD 3
#define SOCK_FD 4

/* CHECKS: it has not said yet what came. STARTS: it becomes sshd. ENDS: it has only to be reaped.
 */
typedef enum { USHER_CHECKS, USHER_STARTS, USHER_ENDS } usher_state;

typedef struct usher {
    struct usher *next, **at;
    rlyd *d;
    usher_state state;
    pid_t pid;
    int channel, killed;
    struct event *ev;
    struct ucred who;
    relay_rlyd_way way;
    int64_t began_ms;
    char from[RLYD_PEER_MAX];
} usher;

struct ushers {
    usher *first;
    unsigned count, refused; /* refused: how many since the last line about it */
    int full;                /* somebody waits for a place */
    rlyd_hook *room;         /* hears that there is a place */
    struct event *tick, *dispose;
    int disposed[DISPOSE_MAX], ndisposed;
    int64_t refused_gate, broken_gate, spawn_gate, hang_gate;
};

/** What an usher says, once. why is what is wrong, or "". */
typedef struct finding {
    char why[120];
    foreign what;
} finding;

/* ---- in the usher's own process */

/** Keeps two of rlyd's descriptors and closes all others. The next rlyd wants the lock of the pid
 * file above all. */
static void settle_in(int channel, int sock)
{
    int sig, a = fcntl(channel, F_DUPFD_CLOEXEC, SOCK_FD + 1),
             b = fcntl(sock, F_DUPFD_CLOEXEC, SOCK_FD + 1);

    for (sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    if (a < 0 || b < 0 || dup3(a, CHANNEL_FD, O_CLOEXEC) < 0 || dup3(b, SOCK_FD, O_CLOEXEC) < 0 ||
        close_range(SOCK_FD + 1, ~0U, 0) < 0)
        _exit(1);
}

static char listen_to_rlyd(void)
{
    char word = 0;

    return recv(CHANNEL_FD, &word, 1, 0) == 1 ? word : 0;
}

static void tell(const void *what, size_t size)
{
    if (send(CHANNEL_FD, what, size, MSG_NOSIGNAL) < 0)
        _exit(1);
}

static _Noreturn void serve(const rlyd *d, relay_rlyd_way way)
{
    static const char farewell[] = "Exceeded MaxStartups\r\n"; /* sshd's own words */
    finding found;
    const char *why;
    char word;
    int err;

    memset(&found, 0, sizeof(found));
    /* `r': rlyd has closed the socket, and the usher closes what is in its queue. */
    if (listen_to_rlyd() != 'r')
        _exit(1);
    if ((why = foreign_take(SOCK_FD, way, &found.what)) != NULL)
        apr_cpystrn(found.why, why, sizeof(found.why));
    tell(&found, sizeof(found));
    word = why ? 0 : listen_to_rlyd();
    if (word == 'n')
        send(found.what.fd, farewell, sizeof(farewell) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (word != 'g')
        _exit(0);
    if (way == RELAY_RLYD_DIRECT)
        transport_tune(found.what.fd);
    err = spawn_become_sshd(d->cfg, found.what.fd, CHANNEL_FD);
    tell(&err, sizeof(err));
    _exit(1);
}

/* ---- in rlyd */

static void arm_tick(struct ushers *u)
{
    timer_arm(u->tick, TICK_MS);
}

static void usher_free(usher *one)
{
    rlyd *d = one->d;
    struct ushers *u = d->ushers;

    *one->at = one->next;
    if (one->next)
        one->next->at = one->at;
    u->count--;
    if (one->ev)
        event_free(one->ev);
    if (one->channel >= 0)
        close(one->channel);
    free(one);
    if (u->full) {
        u->full = 0;
        u->room(d);
    }
}

static void usher_ends(usher *one)
{
    one->state = USHER_ENDS;
    event_free(one->ev);
    one->ev = NULL;
    close(one->channel);
    one->channel = -1;
    arm_tick(one->d->ushers);
}

static void complain(usher *one, const char *why)
{
    if (gate_open(&one->d->ushers->broken_gate, FLOOD_MS))
        relay_log(RELAY_LOG_WARNING, "RLY405 process %d (uid %d) at the socket is dropped: %s",
                  (int)one->who.pid, (int)one->who.uid, why);
}

static void refuse(usher *one, const char *why)
{
    struct ushers *u = one->d->ushers;

    u->refused++;
    if (gate_open(&u->refused_gate, FLOOD_MS)) {
        relay_log(RELAY_LOG_WARNING,
                  "RLY402 connection from %s refused: %s; %u refused since the last such line",
                  one->from, why, u->refused);
        u->refused = 0;
    }
    send(one->channel, "n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    usher_ends(one);
}

static void take_finding(usher *one, const finding *found)
{
    rlyd *d = one->d;
    struct source *source;
    const char *why;

    if (found->why[0]) {
        if (!found->what.gone)
            complain(one, found->why);
        usher_ends(one);
        return;
    }
    transport_print((const struct sockaddr *)&found->what.peer, one->from, sizeof(one->from));
    if (!(source = admission_enter(d, (const struct sockaddr *)&found->what.peer, &why))) {
        refuse(one, why);
        return;
    }
    one->state = USHER_STARTS;
    /* From now on the process is the session's, which reaps it, too. */
    admission_holds(session_started(d, one->pid, one->way == RELAY_RLYD_TLS ? WAY_TLS : WAY_DIRECT,
                                    one->from),
                    source);
    send(one->channel, "g", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_word(evutil_socket_t fd, short what, void *arg)
{
    usher *one = arg;
    union {
        finding found;
        int err;
    } word;
    ssize_t n = recv(fd, &word, sizeof(word), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (one->state == USHER_CHECKS && n == (ssize_t)sizeof(word.found)) {
        word.found.why[sizeof(word.found.why) - 1] = '\0';
        take_finding(one, &word.found);
    }
    else if (one->state == USHER_CHECKS) {
        complain(one, "the process that took in what it handed over has ended");
        usher_ends(one);
    }
    else {
        if (n == (ssize_t)sizeof(word.err) && gate_open(&one->d->ushers->spawn_gate, FLOOD_MS))
            relay_log(RELAY_LOG_ERR, "RLY403 cannot start %s for %s: %s", one->d->cfg->sshd,
                      one->from, strerror(word.err));
        usher_free(one); /* it is an sshd, or will be gone; the session reaps it */
    }
}

/** Whether its pid is still its own. Only rlyd reaps it, and once its session may have done so the
 * channel is closed. */
static int is_there(const usher *one)
{
    char byte;

    return one->state != USHER_STARTS ||
           (recv(one->channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static void check_usher(usher *one, int64_t now)
{
    struct ushers *u = one->d->ushers;

    if (now - one->began_ms > HANGS_MS && !one->killed && is_there(one)) {
        one->killed = 1;
        kill(one->pid, SIGKILL);
        if (gate_open(&u->hang_gate, FLOOD_MS))
            relay_log(RELAY_LOG_WARNING,
                      "RLY459 a descriptor that process %d (uid %d) handed over hangs, and is "
                      "given up",
                      (int)one->who.pid, (int)one->who.uid);
    }
    if (one->state == USHER_ENDS && waitpid(one->pid, NULL, WNOHANG) != 0)
        usher_free(one);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct ushers *u = d->ushers;
    int64_t now = now_ms();
    usher *one, *next;

    for (one = u->first; one; one = next) {
        next = one->next;
        check_usher(one, now);
    }
    if (u->full && u->count < USHERS_MAX) { /* there was no process to be had */
        u->full = 0;
        u->room(d);
    }
    if (u->first || u->full)
        arm_tick(u);
}

static usher *usher_add(rlyd *d, pid_t pid, usher_state state, int channel)
{
    struct ushers *u = d->ushers;
    usher *one = must_alloc(sizeof(*one));

    memset(one, 0, sizeof(*one));
    one->d = d;
    one->pid = pid;
    one->state = state;
    one->channel = channel;
    one->began_ms = now_ms();
    one->next = u->first;
    one->at = &u->first;
    if (one->next)
        one->next->at = &one->next;
    u->first = one;
    u->count++;
    arm_tick(u);
    return one;
}

int usher_receive(rlyd *d, int sock, const struct ucred *who, const message *m)
{
    struct ushers *u = d->ushers;
    int channel[2] = {-1, -1};
    pid_t pid = -1;
    usher *one;

    if (u->count < USHERS_MAX &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0 &&
        !daemon_is_scarce(channel[1]) && (pid = fork()) == 0) {
        settle_in(channel[1], sock);
        serve(d, m->way);
    }
    if (channel[1] >= 0)
        close(channel[1]);
    if (pid < 0) {
        if (channel[0] >= 0)
            close(channel[0]);
        u->full = 1;
        arm_tick(u);
        return -1;
    }
    one = usher_add(d, pid, USHER_CHECKS, channel[0]);
    one->who = *who;
    one->way = m->way;
    one->ev = event_new(d->base, channel[0], EV_READ | EV_PERSIST, on_word, one);
    if (!one->ev || event_add(one->ev, NULL) < 0)
        abort();
    close(sock);
    send(channel[0], "r", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return 0;
}

/* ---- sockets with unknown things in their queues */

void usher_prepare(int sock)
{
    static const int on = 1;

    /* With SO_PASSCRED each message has its sender's credentials, so an empty message differs from
     * the end. */
    setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

head_kind usher_look(int sock, char *buf, size_t size, size_t *len)
{
    union {
        struct cmsghdr align;
        /* No room for descriptors: the kernel counts them as cut off, and makes none. */
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    /* The kernel says so once, ahead of what waits, of a peer that has not read its answer. */
    if (n < 0 && errno == ECONNRESET)
        n = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *len = n > 0 ? (size_t)n : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? HEAD_NONE : HEAD_UNKNOWN;
    if (msg.msg_flags & MSG_CTRUNC)
        return HEAD_CARRIES;
    return CMSG_FIRSTHDR(&msg) ? HEAD_PLAIN : HEAD_CLOSED;
}

static void on_dispose(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;
    struct ushers *u = d->ushers;
    int channel[2], i;
    pid_t pid;

    if (u->count >= 2 * USHERS_MAX ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0) {
        timer_arm(u->dispose, TICK_MS);
        return;
    }
    if ((pid = fork()) == 0) {
        char end;

        /* This process has the sockets, too, until rlyd has let go. A process that ends does not
         * linger (inet_release(), PF_EXITING). */
        close(channel[0]);
        _exit(recv(channel[1], &end, 1, 0) < 0);
    }
    close(channel[1]);
    if (pid > 0) {
        for (i = 0; i < u->ndisposed; i++)
            close(u->disposed[i]);
        u->ndisposed = 0;
        usher_add(d, pid, USHER_ENDS, -1);
    }
    close(channel[0]);
    if (u->ndisposed)
        timer_arm(u->dispose, TICK_MS);
}

void usher_dispose(rlyd *d, int sock)
{
    struct ushers *u = d->ushers;

    if (u->ndisposed == DISPOSE_MAX)
        on_dispose(-1, 0, d);
    if (u->ndisposed == DISPOSE_MAX)
        return; /* no process is to be had for so long: the socket stays open */
    u->disposed[u->ndisposed++] = sock;
    if (u->ndisposed == 1)
        timer_arm(u->dispose, DISPOSE_AFTER_MS);
}

void usher_close(rlyd *d, int sock)
{
    char buf[RELAY_RLYD_MESSAGE_MAX];
    head_kind kind;
    size_t len;

    shutdown(sock, SHUT_RD); /* nothing more can come */
    while ((kind = usher_look(sock, buf, sizeof(buf), &len)) == HEAD_PLAIN)
        if (recv(sock, buf, sizeof(buf), MSG_DONTWAIT) < 0)
            break;
    if (kind == HEAD_CLOSED)
        close(sock);
    else
        usher_dispose(d, sock);
}

void usher_init(rlyd *d, rlyd_hook *room)
{
    struct ushers *u = d->ushers = apr_pcalloc(d->pool, sizeof(*u));

    u->tick = timer_new(d, on_tick, d);
    u->dispose = timer_new(d, on_dispose, d);
    u->room = room;
}
