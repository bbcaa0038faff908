/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Asks the kernel whose a listen address is. While a device is away, anybody with an account on the
 * relay can listen on its address, and a service that listens on all addresses does so unasked. A
 * visitor may meet the tunnel user's sockets only.
 *
 * Any thread may call. No call waits: a question takes a few microseconds of one netlink socket.
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
 * Asks who listens on an address.
 * @param user the tunnel user's uid
 * @param found out on RELAY_OWNER_OTHER: the socket
 */
relay_owner relay_owner_listens(relay_listen_addr listen, uid_t user, relay_socket *found);

/**
 * Asks who has the other end of a connection that was just made. A listener that changes hands
 * meanwhile leaves no window: an end that was accepted names the user who accepted it, and one that
 * was not dies with its listener.
 * @param local this end of it
 */
relay_owner relay_owner_answers(relay_listen_addr listen, relay_listen_addr local, uid_t user,
                                relay_socket *found);

/** What relay_owner_answers() saw of the other end, before and after it asked for the listener.
 * relay_owner_judge() judges it. */
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
 * The ports of the space that processes of this host listen on at all addresses: each as `*:PORT`,
 * separated by spaces, as in the field `taken` of relay:<name>. At most
 * RELAY_OWNER_TAKEN_MAX; "" where the kernel cannot be asked.
 */
const char *relay_owner_taken(const relay_listen_space *space, apr_pool_t *p);

#define RELAY_OWNER_TAKEN_MAX 4096

#endif
