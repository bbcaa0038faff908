/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Parses the messages of rlyd's socket (relay_rlyd.h). Pure, and takes any bytes.
 */
#ifndef RLYD_GROUND_MESSAGE_H
#define RLYD_GROUND_MESSAGE_H

#include "relay_rlyd.h"
#include "relay_tunnel.h"
#include "rlyd.h"

typedef enum { MESSAGE_HANDOFF, MESSAGE_LOGIN, MESSAGE_REFUSED } message_verb;

typedef struct message {
    message_verb verb;
    /* handoff */
    relay_rlyd_way way;
    /* login; a refused one has the key, and a tunnel or "" */
    char tunnel[RLYD_TUNNEL_MAX];
    char fingerprint[RLYD_FINGERPRINT_MAX];
    relay_rlyd_refusal refusal;
    int64_t expires_redis_ms;
    int naddrs;
    relay_listen_addr addrs[RELAY_TUNNEL_ROUTES_MAX];
} message;

/**
 * @param text len bytes, not terminated
 * @param why out on failure: a constant sentence
 * @return 0, or -1
 */
int message_parse(message *m, const char *text, size_t len, const char **why);

#endif
