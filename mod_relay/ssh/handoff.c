/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * SSH on the HTTPS port. A connection that begins with `SSH-` is not httpd's. Before mod_ssl or
 * mod_reqtimeout touch it, the socket itself goes to rlyd, and httpd forgets it. Nothing is read
 * from it (MSG_PEEK), so that sshd finds the client's first words where they were.
 *
 * Where the MPM can wait without a thread (event from 2.4.63 on), a client that has said too little
 * waits there. SO_RCVLOWAT makes its socket readable only when there is more to see than last time.
 * waiting.c bounds these waits. A ClientHello that has begun waits in the same way, since mod_ssl
 * would keep a thread for it. With other MPMs a client that has said nothing keeps a thread.
 */

#include "connection.h"
#include "hooks.h"
#include "realm.h"
#include "relay_rlyd.h"
#include "servers.h"
#include "waiting.h"

#include <ap_mpm.h>
#include <ap_mmn.h>
#include <errno.h>
#include <http_connection.h>
#include <http_core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const char SSH[] = "SSH-";
#define SSH_LEN ((ssize_t)sizeof(SSH) - 1)

/* The longest silence of a client; RequestReadTimeout has the same by default. */
#define SILENCE_MAX apr_time_from_sec(20)
/* A ClientHello is one flight: its rest is on its way, or lost and sent again, perhaps twice. */
#define HELLO_MAX apr_time_from_sec(6)

typedef enum { IS_SSH, IS_OTHER, IS_SILENT, IS_HELLO, IS_CLOSED } protocol;

/* A TLS record: its type, two bytes of version, two of length (RFC 8446, 5.1). */
#define RECORD_HEAD 5
#define RECORD_MAX 16384
#define RECORD_HANDSHAKE 22

/* No more will come. A socket in this state is readable for ever, whatever its low-water mark. */
static int has_closed(int fd)
{
    struct pollfd pfd = {fd, POLLRDHUP, 0};

    return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* A ClientHello's first record, of whose head n bytes are there; *needed: the bytes of the whole
 * record. */
static protocol peek_record(int fd, const unsigned char *buf, ssize_t n, int *needed)
{
    int length, there;

    *needed = RECORD_HEAD;
    if (n == RECORD_HEAD) {
        length = buf[3] << 8 | buf[4];
        *needed += length;
        if (buf[1] != 3 || length > RECORD_MAX || ioctl(fd, FIONREAD, &there) < 0 ||
            there >= *needed)
            return IS_OTHER;
    }
    return has_closed(fd) ? IS_CLOSED : IS_HELLO;
}

/* The protocol by the first bytes; *needed: so many have to be there before they can tell more. */
static protocol peek(int fd, int *needed)
{
    unsigned char buf[RECORD_HEAD];
    ssize_t n;

    do
        n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        n = 0;
    else if (n <= 0) /* closed or broken; httpd notices that itself */
        return IS_OTHER;
    if (n && buf[0] == RECORD_HANDSHAKE)
        return peek_record(fd, buf, n, needed);
    if (memcmp(buf, SSH, (size_t)(n < SSH_LEN ? n : SSH_LEN)))
        return IS_OTHER;
    *needed = (int)n + 1;
    return n >= SSH_LEN ? IS_SSH : has_closed(fd) ? IS_CLOSED : IS_SILENT;
}

static void set_low_water(int fd, int bytes)
{
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* Waits in this thread, for MPMs that cannot do better. @return 0 when the client stays silent */
static int wait_here(int fd, apr_time_t until)
{
    struct pollfd pfd = {fd, POLLIN, 0};
    apr_interval_time_t left = until - relay_clock();

    return left > 0 && poll(&pfd, 1, (int)apr_time_as_msec(left) + 1) > 0;
}

static int mpm_waits(const conn_rec *c)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 135)
    static int can = -1;

    if (can < 0 && ap_mpm_query(AP_MPMQ_CAN_WAITIO, &can) != APR_SUCCESS)
        can = 0;
    return can && c->cs && !c->clogging_input_filters;
#else
    return 0;
#endif
}

/* Makes httpd let go of the socket without a word: no lingering, no shutdown(), no TLS alert. */
static int let_go(conn_rec *c)
{
    c->aborted = 1;
    c->keepalive = AP_CONN_CLOSE;
    if (c->cs)
        c->cs->state = CONN_STATE_LINGER;
    return OK;
}

/* Waits in the MPM's poll set, until there is more to see. @return 0 when it may not */
static int wait_there(conn_rec *c, int fd, const mod_relay_server *conf,
                      apr_interval_time_t patience)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 135)
    if (!mod_relay_waiting_begin(c, fd, conf, patience))
        return 0;
    c->cs->state = CONN_STATE_ASYNC_WAITIO;
    c->cs->sense = CONN_SENSE_WANT_READ;
    return 1;
#else
    (void)c, (void)fd, (void)conf, (void)patience;
    return 0;
#endif
}

/* A clean end: unread bytes would turn the close into a reset. */
static int refuse(conn_rec *c, int fd)
{
    char waste[512];

    while (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
        ;
    return let_go(c);
}

static int hand_over(conn_rec *c, int fd, const mod_relay_server *conf)
{
    const char *why = NULL;

    set_low_water(fd, 1);
    if (relay_rlyd_handoff(conf->realm->relay->rlyd_socket, fd, RELAY_RLYD_DIRECT, -1, c->pool,
                           &why) != APR_SUCCESS) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c, "RLY150 an SSH connection is refused: %s", why);
        return refuse(c, fd);
    }
    ap_log_cerror(APLOG_MARK, APLOG_DEBUG, 0, c, "RLY151 an SSH connection went to rlyd");
    return let_go(c);
}

/* The protocol of a client, as far as it has said enough; *waits: it is in the poll set. */
static protocol look(conn_rec *c, int fd, const mod_relay_server *conf, int *waits)
{
    apr_time_t until =
        relay_clock() +
        (SILENCE_MAX < c->base_server->timeout ? SILENCE_MAX : c->base_server->timeout);
    protocol what;
    int needed = 1;

    while ((what = peek(fd, &needed)) == IS_SILENT || what == IS_HELLO) {
        set_low_water(fd, needed);
        if (mpm_waits(c)) {
            *waits = wait_there(c, fd, conf, what == IS_HELLO ? HELLO_MAX : SILENCE_MAX);
            return what;
        }
        /* mod_ssl can wait with a thread as well, and mod_reqtimeout ends that. */
        if (what == IS_HELLO)
            return IS_OTHER;
        if (!wait_here(fd, until))
            break;
    }
    return what;
}

static int process_connection(conn_rec *c)
{
    const mod_relay_server *conf;
    apr_socket_t *socket;
    apr_os_sock_t fd;
    mod_relay_waiting_over over;
    protocol what;
    int waits = 0;

    /* Only before anything was read. httpd comes here again for later requests, and such a request
     * may wait in a filter (pipelining in one TLS record), with nothing on the socket. */
    if (c->master || mod_relay_connection_of(c)->not_ssh ||
        (conf = mod_relay_ssh_server(c)) == NULL || (socket = ap_get_conn_socket(c)) == NULL ||
        apr_os_sock_get(&fd, socket) != APR_SUCCESS)
        return DECLINED;
    over = mod_relay_waiting_is_over(c);
    what = over ? IS_SILENT : look(c, fd, conf, &waits);
    if (waits)
        return OK;
    mod_relay_waiting_end(c);
    if (what == IS_SSH)
        return hand_over(c, fd, conf);
    set_low_water(fd, 1);
    if (what == IS_OTHER) {
        mod_relay_connection_of(c)->not_ssh = 1;
        return DECLINED;
    }
    /* Many may have had to make room; waiting.c reports their number. */
    ap_log_cerror(APLOG_MARK, over == MOD_RELAY_WAITING_CROWDED ? APLOG_DEBUG : APLOG_INFO, 0, c,
                  "RLY152 a client said nothing, or half a word, and is let go");
    return refuse(c, fd);
}

void mod_relay_handoff_register_hooks(apr_pool_t *p)
{
    /* mod_reqtimeout is FIRST, mod_ssl MIDDLE (it forces the handshake). */
    ap_hook_process_connection(process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
