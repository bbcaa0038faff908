/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_relay: the few things that all of its files share. Each concept has a file and a header of
 * its own:
 *
 *   directives    a server's settings; directives.def is the table of them
 *   connection    the module's own record of a visitor's connection
 *   realm         one relay.conf as this process sees it: its routes, Redis and devices
 *   hooks         where the module hangs into httpd
 *   setup         from the configuration to a child that serves
 *   check         the warnings of configtest
 *   status        lines for mod_status
 *
 * routes/, from a name to its route:
 *
 *   cache         names to routes, in the memory of one process
 *   changes       Redis's reports of changes, read
 *   watch         the thread that keeps the cache right by them
 *   lookup        the cache, else Redis
 *
 * request/, from a visitor to a device:
 *
 *   request       the module's own record of a request
 *   misdirected   over HTTP/2, a connection for each device's name
 *   route         translate_name: Host field -> route -> mod_proxy
 *   fields        the fields of a request that are not the visitor's to set
 *   paths         a path that can be read in two ways keeps to the rules in both
 *   shares        a bound on the threads of httpd's that one tunnel holds
 *   counts        the table behind that, in memory of all processes
 *   proxy         mod_proxy's two questions: which worker takes a request, and how did it end
 *   secrets       a visitor's proofs to httpd do not go to the device
 *   cookies       the Cookie and Set-Cookie fields
 *   origin        by which name a device is asked, and what it is told of the relay
 *   urls          URLs in the fields of a request
 *   backend       a pooled proxy worker for each route
 *   pinned        a visitor's own connection, to devices that log connections in
 *   attempt       one try at a device, and when there is a second
 *   wire          one connection to a device: what may go on it, and what was lost
 *   limits        a visitor's fields may be long, and his head is bounded
 *   owner         a connection reaches the tunnel user's socket only
 *   tls           https:// services: mod_ssl's settings, the first handshake of a backend
 *   tls_context   what OpenSSL accepts of them, and why a handshake failed
 *   expect        Expect: 100-continue, for devices that do not know it
 *   upgrade       the protocols besides WebSocket that a visitor may switch to
 *   upload        how long a visitor's body may stall
 *   patience      how long a request waits for its device, and for whom
 *
 * answer/, from a device to a visitor, or in its stead:
 *
 *   answer        the changes to a device's final answer
 *   interim       the changes to its interim answers (101, 103)
 *   public        addresses in both become public ones
 *   addresses     which addresses mean the device itself, and how visitors have to read them
 *   hosts         the host of a URL as browsers read it
 *   head          the head of an answer, line by line; bounds on it. head_h2: over HTTP/2
 *   forgive       what browsers forgive in those lines
 *   chunks        and in the lines between chunks
 *   frames        the frames of HTTP/2 that are counted for that
 *   hpack         the size of HTTP/2's fields once they are unpacked
 *   memory        browsers forget a name that has ended or changed hands
 *   pages         the relay's own pages, where there is no answer
 *
 * ssh/, devices that log in on the HTTPS port:
 *
 *   servers       the servers that take SSH
 *   handoff       a socket goes to rlyd
 *   waiting       connections that wait without a thread: for how long, and how many
 *   handoff_tls   SSH inside TLS: through a socket pair to rlyd
 *
 * Threads: request threads (httpd's and mod_http2's), one watcher for each realm, and that of
 * waiting.c. Data that several of them touch is guarded inside the file that owns it.
 */
#ifndef MOD_RELAY_H
#define MOD_RELAY_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "relay_clock.h"

extern module AP_MODULE_DECLARE_DATA relay_module;
APLOG_USE_MODULE(relay);

#endif
