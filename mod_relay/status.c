/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Lines for mod_status: the state of this process, and the busiest tunnel of all processes. */

#include "hooks.h"
#include "realm.h"
#include "request/backend.h"
#include "request/places.h"
#include "request/shared.h"
#include "request/shares.h"
#include "routes/cache.h"

#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

static const char *link_name(mod_relay_link link)
{
    return link == MOD_RELAY_LINK_UP ? "up" : link == MOD_RELAY_LINK_DOWN ? "down" : "untracked";
}

static void show_shared(request_rec *r, int flags)
{
    const mod_relay_shared *shared = mod_relay_shared_get();
    unsigned most, small, shares, sockets;

    if (!shared)
        return;
    most = mod_relay_counts_most(shared->counts);
    small = mod_relay_devices_small(shared->devices, relay_clock());
    shares = mod_relay_shares_waiting();
    sockets = mod_relay_places_waiting();
    if (flags & AP_STATUS_SHORT)
        ap_rprintf(r,
                   "RelayBusiestTunnel: %u\nRelayTunnelRefused: %u\nRelaySmallDevices: %u\n"
                   "RelayWaitingForShare: %u\nRelayWaitingForDevice: %u\nRelayWaited: %u\n"
                   "RelayDeviceRefused: %u\n",
                   most, shared->tally->refused, small, shares, sockets, shared->tally->waited,
                   shared->tally->crowded);
    else
        ap_rprintf(r,
                   "<hr />\n<h2>Relay (all processes)</h2>\n<dl><dt>requests under way of the "
                   "busiest tunnel: %u</dt>"
                   "<dt>refused by RelayTunnelThreads so far: %u</dt>"
                   "<dt>devices that take few connections: %u</dt>"
                   "<dt>requests that wait for their tunnel's share of threads: %u</dt>"
                   "<dt>requests that wait for a connection of their device: %u</dt>"
                   "<dt>requests that have waited so far: %u</dt>"
                   "<dt>refused for want of a connection so far: %u</dt></dl>\n",
                   most, shared->tally->refused, small, shares, sockets, shared->tally->waited,
                   shared->tally->crowded);
}

static int status_hook(request_rec *r, int flags)
{
    const apr_array_header_t *realms = mod_relay_realms();
    int i;

    for (i = 0; i < realms->nelts; i++) {
        mod_relay_realm *realm = APR_ARRAY_IDX(realms, i, mod_relay_realm *);
        const char *link;
        int routes, absent, backends;

        if (!realm->watch)
            continue;
        mod_relay_cache_count(realm->cache, &routes, &absent);
        backends = mod_relay_backends_count(realm->backends);
        link = link_name(mod_relay_cache_link(realm->cache));
        if (flags & AP_STATUS_SHORT)
            ap_rprintf(
                r,
                "RelayLink: %s\nRelayCachedRoutes: %d\nRelayCachedAbsent: %d\nRelayBackends: %d\n",
                link, routes, absent, backends);
        else
            ap_rprintf(r,
                       "<hr />\n<h2>Relay %s (this process)</h2>\n<dl><dt>link to Redis: "
                       "%s</dt><dt>cached routes: %d</dt>"
                       "<dt>cached absent names: %d</dt><dt>devices with a connection pool: "
                       "%d</dt></dl>\n",
                       realm->relay->name, link, routes, absent, backends);
    }
    if (realms->nelts)
        show_shared(r, flags);
    return OK;
}

void mod_relay_status_register_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(ap, status_hook, status_hook, NULL, NULL, APR_HOOK_MIDDLE);
}
