/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Whose a listen address is, as the kernel says. Whoever has an account on the relay can listen
 * where a device that is away would, and a service on all addresses does so unasked: a visitor may
 * meet the tunnel user's sockets only.
 *
 * Any thread. Nothing waits: a question is a few microseconds of one netlink socket.
 */
#ifndef RELAY_OWNER_H
#define RELAY_OWNER_H

#include "relay_sockdiag.h"

typedef enum {
    RELAY_OWNER_USER,   /* the tunnel user's */
    RELAY_OWNER_NOBODY, /* nobody listens there; the connection is no more */
    RELAY_OWNER_OTHER,  /* somebody else's, or a listener on all addresses, whoever's */
    RELAY_OWNER_UNKNOWN /* the kernel cannot be asked: errno */
} relay_owner;

/**
 * Who listens on an address.
 * @param user the tunnel user's uid
 * @param found out on RELAY_OWNER_OTHER: the socket
 */
relay_owner relay_owner_listens(relay_listen_addr listen, uid_t user, relay_socket *found);

/**
 * Who has the other end of a connection that was just made. It leaves no window for a listener that
 * changes hands: an end that was accepted names who accepted it, and one that was not yet dies with
 * its listener.
 * @param local this end of it
 */
relay_owner relay_owner_answers(relay_listen_addr listen, relay_listen_addr local, uid_t user,
                                relay_socket *found);

/** How relay_owner_answers() judges what it saw of the other end, before and after it asked for the
 * listener. */
typedef struct relay_owner_sight {
    int end, listens, again; /* 1 it is there, 0 it is not, -1 the kernel cannot be asked */
    relay_socket the_end, listener, the_end_again;
} relay_owner_sight;

relay_owner relay_owner_judge(const relay_owner_sight *seen, relay_listen_addr listen, uid_t user,
                              relay_socket *found);

/** Whether the kernel answers such questions here: it is asked about a listener of our own.
 * @return 1, or 0 with errno */
int relay_owner_can_ask(void);

/**
 * The ports of the space that this host's processes listen on with all addresses, each as `*:PORT`,
 * separated by spaces: as the field `taken` of relay:<name> has them. At most
 * RELAY_OWNER_TAKEN_MAX; "" where the kernel cannot be asked.
 */
const char *relay_owner_taken(const relay_listen_space *space, apr_pool_t *p);

#define RELAY_OWNER_TAKEN_MAX 4096

#endif
