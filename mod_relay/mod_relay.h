/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_relay: what all of its files share. Each concept has a file and a header of its own:
 *
 *   directives    what the configuration says, for each server; directives.def is the table
 *   realm         one relay.conf as this process sees it: its routes and its connections to devices
 *   hooks         what hangs into httpd, and in which order
 *   check         what configtest warns of
 *   status        lines for mod_status
 *
 * routes/, from a name to its route:
 *
 *   cache         names to routes, in the memory of one process
 *   changes       what Redis's invalidations say
 *   watch         the thread that keeps the cache right by them
 *   lookup        cache, else Redis
 *
 * request/, from a visitor to a device:
 *
 *   request       what the module knows of a request
 *   route         translate_name: Host field -> route -> mod_proxy
 *   fields        which fields of a request are not the visitor's to set
 *   paths         a path that can be read in two ways keeps to the rules in both
 *   shares        how many of httpd's threads one tunnel can hold
 *   counts        the table behind that, in memory of all processes
 *   proxy         mod_proxy's two questions: who takes this request, and what came of it
 *   secrets       what a visitor proves to httpd does not go to the device
 *   cookies       how cookies are read for that
 *   backend       a pooled proxy worker of its own for each route
 *   pinned        devices that log connections in: a visitor's own connection
 *   attempt       when a request that failed is sent again
 *   owner         a connection goes to the tunnel user's socket only
 *
 * answer/, from a device to a visitor, or in its stead:
 *
 *   answer        what of a device's answer is changed
 *   interim       the same for interim answers
 *   head          how long the head of a device's answer may be; head_h2: over HTTP/2
 *   frames        the frames of HTTP/2 that are counted for that
 *   hpack         how large fields are once unpacked
 *   memory        what browsers remember of a name that has ended or changed hands
 *   pages         what a visitor sees when there is no answer
 *
 * ssh/, devices that log in on the HTTPS port:
 *
 *   servers       the servers that take SSH
 *   handoff       the socket goes to rlyd
 *   waiting       connections that wait there without a thread: how long, and how many
 *   handoff_tls   SSH inside TLS: through a socket pair to rlyd
 *
 * Threads: request threads (httpd's and mod_http2's), one watcher a realm, and that of waiting.c.
 * What several of them touch is guarded inside the file that owns it.
 */
#ifndef MOD_RELAY_H
#define MOD_RELAY_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "directives.h"

extern module AP_MODULE_DECLARE_DATA relay_module;
APLOG_USE_MODULE(relay);

static inline mod_relay_server *mod_relay_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &relay_module);
}

/** Microseconds on a clock that never steps. Any thread. */
apr_time_t mod_relay_clock(void);

#endif
