/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Lines for mod_status: the state of this process, and the busiest tunnel of all processes. */

#include "hooks.h"
#include "realm.h"
#include "request/backend.h"
#include "request/shares.h"
#include "routes/cache.h"

#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

static const char *link_name(mod_relay_link link)
{
    return link == MOD_RELAY_LINK_UP ? "up" : link == MOD_RELAY_LINK_DOWN ? "down" : "untracked";
}

static void show_shares(request_rec *r, int flags)
{
    apr_uint32_t refused;
    unsigned most;

    if (!mod_relay_shares_look(&most, &refused))
        return;
    if (flags & AP_STATUS_SHORT)
        ap_rprintf(r, "RelayBusiestTunnel: %u\nRelayTunnelRefused: %u\n", most, refused);
    else
        ap_rprintf(r,
                   "<hr />\n<h2>Relay (all processes)</h2>\n<dl><dt>requests under way of the "
                   "busiest tunnel: %u</dt>"
                   "<dt>refused by RelayTunnelThreads so far: %u</dt></dl>\n",
                   most, refused);
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
        show_shares(r, flags);
    return OK;
}

void mod_relay_status_register_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(ap, status_hook, status_hook, NULL, NULL, APR_HOOK_MIDDLE);
}
