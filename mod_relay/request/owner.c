/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * While a device is away, anybody with an account on the relay can listen in its place, and a
 * service that listens on all addresses does so unasked. It would be told the visitors' passwords
 * and cookies. So the kernel is asked whose socket has accepted each connection.
 *
 * The hook is pre_connection. mod_proxy runs it for every new connection to a device
 * (ap_proxy_connection_create_ex()), for every protocol and ahead of the TLS handshake. A pooled
 * connection has been through it.
 */

#include "owner.h"
#include "hooks.h"

#include <apr_atomic.h>
#include <apr_portable.h>
#include <errno.h>
#include <http_connection.h>
#include <netinet/in.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

#define WARN_EVERY_S 5

relay_owner mod_relay_owner_listens(const mod_relay_realm *realm, relay_listen_addr listen)
{
    relay_socket found;

    return relay_owner_listens(listen, realm->user, &found);
}

int mod_relay_owner_prepare(mod_relay_realm *realm, server_rec *s)
{
    char buf[16384];
    struct passwd room, *user = NULL;
    int rc = getpwnam_r(realm->relay->user, &room, buf, sizeof(buf), &user);

    if (!user) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, rc, s,
                     "RLY106 %s: [relay] user: there is no user `%s' on this host: devices log in "
                     "as this user, and connections to all other users' sockets are refused. "
                     "Create it, or name the one that there is.",
                     realm->relay->file, realm->relay->user);
        return 0;
    }
    realm->user = user->pw_uid;
    if (!relay_owner_can_ask())
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_ERR, errno, s,
                     "RLY107 the kernel cannot be asked who listens where (NETLINK_SOCK_DIAG): no "
                     "request will reach a device. Load its module tcp_diag, and let httpd use "
                     "AF_NETLINK (RestrictAddressFamilies, seccomp).");
    return 1;
}

/* One line in five seconds for a realm; visitors would fill the log. */
static int may_warn(mod_relay_realm *realm)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(relay_clock()) + WARN_EVERY_S;
    apr_uint32_t last = apr_atomic_read32(&realm->owner_warned);

    return now - last >= WARN_EVERY_S && apr_atomic_cas32(&realm->owner_warned, now, last) == last;
}

static void warn(conn_rec *c, mod_relay_realm *realm, relay_listen_addr to, relay_owner owner,
                 const relay_socket *found)
{
    const char *listen = relay_listen_addr_print(to, c->pool);

    if (owner == RELAY_OWNER_UNKNOWN)
        ap_log_cerror(APLOG_MARK, APLOG_ERR, errno, c,
                      "RLY108 the kernel does not say who listens on %s: visitors get 503", listen);
    else
        ap_log_cerror(APLOG_MARK, APLOG_WARNING, 0, c,
                      "RLY149 %s is the listen address of a device, and a process of uid %u "
                      "answers there%s, not sshd as user %s (uid %u): visitors get 503 until it is "
                      "ended; `ss -ltnp sport = :%u' shows it",
                      listen, (unsigned)found->uid,
                      found->wildcard ? " by listening on all addresses" : "", realm->relay->user,
                      (unsigned)realm->user, to.port);
}

static int address_of(int (*get)(int, struct sockaddr *restrict, socklen_t *restrict), int fd,
                      relay_listen_addr *addr)
{
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    if (get(fd, (struct sockaddr *)&sin, &len) < 0 || sin.sin_family != AF_INET)
        return 0;
    addr->ip = ntohl(sin.sin_addr.s_addr);
    addr->port = ntohs(sin.sin_port);
    return 1;
}

int mod_relay_owner_check(conn_rec *c, apr_socket_t *csd)
{
    mod_relay_server *conf = mod_relay_server_of(c->base_server);
    relay_listen_addr to, from;
    relay_socket found = {.uid = 0};
    relay_owner owner;
    apr_os_sock_t fd;

    if (!c->outgoing || !csd || conf->engine != 1 || apr_os_sock_get(&fd, csd) != APR_SUCCESS)
        return DECLINED;
    if (!address_of(getpeername, fd, &to) || !relay_listen_contains(conf->realm->relay->listen, to))
        return DECLINED;
    if (!address_of(getsockname, fd, &from))
        return HTTP_SERVICE_UNAVAILABLE;
    owner = relay_owner_answers(to, from, conf->realm->user, &found);
    if (owner == RELAY_OWNER_USER)
        return DECLINED;
    if (owner != RELAY_OWNER_NOBODY && may_warn(conf->realm))
        warn(c, conf->realm, to, owner, &found);
    /* Nothing can be sent on it any more, whatever mod_proxy does with it. */
    apr_socket_shutdown(csd, APR_SHUTDOWN_READWRITE);
    return HTTP_SERVICE_UNAVAILABLE;
}

static int pre_connection(conn_rec *c, void *csd)
{
    return mod_relay_owner_check(c, csd);
}

void mod_relay_owner_register_hooks(apr_pool_t *p)
{
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
