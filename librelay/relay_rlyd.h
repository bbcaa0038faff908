/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * rlyd's socket: what is said on it, and the two calls that say it. mod_relay hands over a
 * connection; relay-authkeys reports a login. The socket is AF_UNIX, SOCK_SEQPACKET, at
 * relay.conf's `[rlyd] socket`; rlyd looks at the peer's credentials, never at what a message
 * claims about its sender.
 *
 * A message is one packet of printable ASCII, at most RELAY_RLYD_MESSAGE_MAX bytes: words separated
 * by single spaces, the protocol, the verb, then NAME=VALUE pairs, each name at most once, in any
 * order. A value holds no space. An unknown verb or name, or a missing one, drops the peer.
 *
 *   relay1 handoff way=direct|tls
 *       with descriptors (SCM_RIGHTS). direct: one, the device's TCP connection, nothing read from
 *       it yet. tls: two. The first is one end of a socketpair() of streams; the sender copies
 *       between its other end and a TLS connection. The second is the TCP connection that TLS comes
 *       by: rlyd asks the kernel where the device is, and takes no sender's word for that. No
 *       answer. From the moment it is sent the connection is rlyd's: it starts sshd on it or closes
 *       it.
 *   relay1 login tunnel=ID key=SHA256:… expires=MS listen=ADDR:PORT[,ADDR:PORT…]
 *       from a process whose parent is the login's sshd monitor; expires by Redis's clock.
 *       Answered, once rlyd has made room for the login where it could: `relay1 ok`, or `relay1 no
 *       REASON…`.
 *   relay1 refused key=SHA256:… why=unknown|closed|expired|elsewhere|record|redis [tunnel=ID]
 *       from such a process, too: it grants that key nothing. rlyd's line about the login says
 *       why. closed and expired name the tunnel. Answered as a login is.
 */
#ifndef RELAY_RLYD_H
#define RELAY_RLYD_H

#include "relay_grant.h"

#define RELAY_RLYD_PROTOCOL "relay1"
#define RELAY_RLYD_MESSAGE_MAX 2048

typedef enum {
    RELAY_RLYD_DIRECT, /* the descriptor is the device's own TCP connection */
    RELAY_RLYD_TLS     /* it is one end of a socket pair, with TLS beyond the other */
} relay_rlyd_way;

typedef enum {
    RELAY_RLYD_UNKNOWN = 1, /* no tunnel has the key, or had it until a day ago */
    RELAY_RLYD_CLOSED,      /* its tunnel was closed */
    RELAY_RLYD_EXPIRED,     /* its tunnel's time is over */
    RELAY_RLYD_ELSEWHERE,   /* its tunnel is another relay's */
    RELAY_RLYD_RECORD,      /* its record cannot be used */
    RELAY_RLYD_REDIS        /* Redis cannot be asked */
} relay_rlyd_refusal;

/** The word for it in a message. */
const char *relay_rlyd_refusal_word(relay_rlyd_refusal refusal);

/**
 * Hands a connection over. Never blocks: when rlyd is away or has no room the call fails at once.
 * The caller keeps its own copy of fd and closes it (close(), not shutdown()) when this returns
 * APR_SUCCESS; on failure nothing has happened to it.
 * @param socket_path relay_config.rlyd_socket
 * @param visitor for RELAY_RLYD_TLS the TCP connection that TLS comes by, which stays the caller's;
 * else not looked at
 * @return APR_SUCCESS once the descriptor is on its way, or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_rlyd_handoff(const char *socket_path, int fd, relay_rlyd_way way, int visitor,
                                apr_pool_t *p, const char **why);

/**
 * Reports that this process's parent, an sshd monitor, may soon have a session of that grant, and
 * waits for the answer. To be called by relay-authkeys before it prints a line; a failure must not
 * refuse the login, as rlyd finds sessions without it, too.
 * @param timeout for the whole call
 * @return APR_SUCCESS; RELAY_EREFUSED with *why when rlyd said no; RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_rlyd_login(const char *socket_path, const relay_grant *grant,
                              const char *fingerprint, apr_interval_time_t timeout, apr_pool_t *p,
                              const char **why);

/** Reports that this process grants a key nothing. @param tunnel whose key it was, or NULL. @return
 * as relay_rlyd_login() */
apr_status_t relay_rlyd_refused(const char *socket_path, relay_rlyd_refusal refusal,
                                const char *fingerprint, const char *tunnel,
                                apr_interval_time_t timeout, apr_pool_t *p, const char **why);

#endif
