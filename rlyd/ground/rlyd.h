/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * rlyd, one per relay host: hands SSH connections to sshd, knows every session and ends it when its
 * grant ends. One process, one thread, one libevent loop; nothing in the loop waits for anything.
 * This header is what its parts share; each part has a file of its own:
 *
 *   door           the socket: hand-offs and login reports
 *   message        what is said there
 *   usher          processes that take in what is handed over
 *   foreign        what such a process looks at
 *   admission      who may start to log in
 *   spawn          sshd for a connection
 *   session        what is known of each session
 *   ending         signals, to verified processes only
 *   session_index  looks sessions up
 *   proc           /proc
 *   proof          notices that a login has been authenticated
 *   transport      a session's TCP connection
 *   listeners      the kernel's listen table, mirrored
 *   taken          what others listen on
 *   find           which process holds an unexpected listener
 *   nodelay        the listening sshd's socket
 *   refusal        why a login came to nothing
 *   sshdtest       whether sshd can let anybody in
 *   takeover       which of a tunnel's sessions has it
 *   parking        a listener's way back
 *   redis          connections to Redis with deadlines
 *   reply          what Redis answers, checked
 *   lifetime       close, expiry, extension
 *   eviction       a Redis that throws records away
 *   live           what Redis is told: live:, events, relay:
 *   sshdconf       values of sshd's configuration
 *   daemon         background, pid file, limits
 *   notify         systemd
 *
 * Times named *_ms are milliseconds of CLOCK_MONOTONIC unless the name says redis.
 */
#ifndef RLYD_H
#define RLYD_H

#include "relay_config.h"
#include "relay_log.h"

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#define RLYD_TUNNEL_MAX 64
#define RLYD_FINGERPRINT_MAX 64
#define RLYD_PEER_MAX 64 /* [IPv6%scope]:port */

typedef struct rlyd {
    struct event_base *base;
    apr_pool_t *pool;     /* as long as the process */
    apr_pool_t *cfg_pool; /* as long as cfg; a reload makes a new one */
    const relay_config *cfg;
    const char *cfg_path;
    uid_t tunnel_uid; /* of cfg->user */
    int stopping;
    unsigned unwatched; /* sessions without a pidfd */
    struct door *door;
    struct ushers *ushers;
    struct admission *admission;
    struct sessions *sessions;
    struct proofs *proofs;
    struct listeners *listeners;
    struct taken *taken;
    struct finder *finder;
    struct lifetimes *lifetime;
    struct live *live;
    struct nodelay *nodelay;
    struct takeovers *takeovers;
    struct sshdtest *sshdtest;
} rlyd;

int64_t now_ms(void);

/** A timer of the loop that calls fn(…, arg) after ms; made once, armed with timer_arm(). */
struct event *timer_new(rlyd *d, event_callback_fn fn, void *arg);
void timer_arm(struct event *timer, int64_t ms);

/** The loop's memory runs out only when the host's does: give up with a message. */
void *must_alloc(size_t size);

/** A listen address as the key of a hash. */
static inline uint64_t addr_key(relay_listen_addr addr)
{
    return (uint64_t)addr.ip << 16 | addr.port;
}

/** For lines that could come in floods: true at most once in `every` ms for one such gate (start it
 * at 0). */
int gate_open(int64_t *gate, int64_t every);

#endif
