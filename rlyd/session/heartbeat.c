/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "config.h"

#include "heartbeat.h"
#include "ground/eviction.h"
#include "ground/loop.h"
#include "ground/store.h"
#include "live.h"
#include "relay_hostkeys.h"
#include "relay_keyname.h"
#include "relay_store.h"
#include "taken.h"

#include <stdlib.h>
#include <sys/utsname.h>

#define HEARTBEAT_MS 15000
#define SOON_MS 1000 /* Redis's clock is not known yet, which one beat needs */

struct heartbeat {
    struct event *timer;
    int64_t hostkeys_gate;
};

static const char *hostkeys(rlyd *d, apr_pool_t *p)
{
    apr_array_header_t *lines;
    const char *why = NULL;

    if (relay_hostkeys_read(&lines, d->cfg, p, &why) == APR_SUCCESS)
        return apr_array_pstrcat(p, lines, '\n');
    if (gate_open(&d->heartbeat->hostkeys_gate, 3600000))
        relay_log(RELAY_LOG_WARNING, "RLY434 %s", why ? why : "no host keys to publish");
    return "";
}

/* That we are there; a relay that was not heard for so long is none any more. */
#define FORGOTTEN_MS (INT64_C(30) * 86400000)

static void tell_heard(rlyd *d, apr_pool_t *p)
{
    int64_t now = store_redis_ms(d, now_ms());
    char relays[RELAY_KEYNAME_SIZE];

    if (!now)
        return;
    relay_keyname_format(d->cfg, RELAY_KEYNAME_RELAYS, "", relays, sizeof(relays));
    redis_call(store_link(d), NULL, 0, "ZADD", relays, apr_psprintf(p, "%" APR_INT64_T_FMT, now),
               d->cfg->name);
    redis_call(store_link(d), NULL, 0, "ZREMRANGEBYSCORE", relays, "-inf",
               apr_psprintf(p, "%" APR_INT64_T_FMT, now - FORGOTTEN_MS));
}

static void beat(rlyd *d)
{
    char name[RELAY_KEYNAME_SIZE], ssh[300], load[32] = "0", sessions[16];
    double average;
    struct utsname host;
    apr_pool_t *p;

    if (!redis_link_is_ready(store_link(d)))
        return;
    apr_pool_create(&p, d->pool);
    uname(&host);
    if (getloadavg(&average, 1) == 1)
        apr_snprintf(load, sizeof(load), "%.2f", average);
    relay_keyname_format(d->cfg, RELAY_KEYNAME_RELAY, d->cfg->name, name, sizeof(name));
    apr_snprintf(ssh, sizeof(ssh), "%s:%d", d->cfg->ssh_host, d->cfg->ssh_port);
    apr_snprintf(sessions, sizeof(sessions), "%u", session_count(d));
    redis_call(store_link(d), NULL, 0, "HSET", name, "v", APR_STRINGIFY(RELAY_RECORD_VERSION),
               "ssh", ssh, "hostkeys", hostkeys(d, p), "load", load, "sessions", sessions,
               "versions",
               apr_psprintf(p, "rlyd %s, %s %s", PACKAGE_VERSION, host.sysname, host.release));
    redis_call(store_link(d), NULL, 0, "PEXPIRE", name, LIVE_EXPIRES);
    tell_heard(d, p);
    live_refresh(d);
    taken_tell(d);
    eviction_check(d);
    apr_pool_destroy(p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    beat(d);
    timer_arm(d->heartbeat->timer, store_knows_time(d) ? HEARTBEAT_MS : SOON_MS);
}

void heartbeat_ready(rlyd *d)
{
    timer_arm(d->heartbeat->timer, 0);
}

void heartbeat_init(rlyd *d)
{
    d->heartbeat = apr_pcalloc(d->pool, sizeof(*d->heartbeat));
    d->heartbeat->timer = timer_new(d, on_timer, d);
}
