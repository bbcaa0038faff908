/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * mod_relay: what its files share. One concept a file; each registers its own hooks:
 *
 *   directives.c  the directives, their checks, and the relay.conf each server uses
 *   check.c       what configtest warns of
 *   status.c      lines for mod_status
 *
 * routes/, from a name to its route:
 *
 *   cache.c       names to routes, in the memory of one process
 *   changes.c     what Redis's invalidations say
 *   watch.c       the thread that keeps the cache right by Redis's invalidations
 *   lookup.c      cache, else Redis
 *
 * request/, from a visitor to a device:
 *
 *   route.c       translate_name: Host header -> route -> mod_proxy
 *   paths.c       whether a path that can be read in two ways keeps to the rules in both
 *   shares.c      how many of httpd's threads one tunnel can hold
 *   counts.c      the table behind that, in memory of all processes
 *   backend.c     a pooled proxy worker of its own for each route
 *   pinned.c      devices that log connections in: a visitor's own connection
 *   owner.c       a connection goes to the tunnel user's socket only
 *   attempt.c     when a request that failed is sent again
 *   secrets.c     what a visitor proves to httpd does not go to the device
 *   cookies.c     how cookies are read for that
 *   cookie_pairs.c     the pairs of a Cookie header
 *   fields.c      which fields of a request are not the visitor's to set
 *
 * answer/, from a device to a visitor, or in its stead:
 *
 *   answer.c      what of a device's answer is changed
 *   interim.c     the same for interim answers
 *   head.c        how long the head of a device's answer may be
 *   head_h2.c     the same over HTTP/2
 *   frames.c      whose frames are counted there
 *   hpack.c       how large fields are once unpacked
 *   memory.c      what browsers remember of a name that has ended or changed hands
 *   pages.c       what a visitor sees when there is no answer
 *
 * ssh/, devices that log in on the HTTPS port:
 *
 *   handoff.c     the socket goes to rlyd
 *   waiting.c     connections that wait there without a thread: how long, and how many
 *   handoff_tls.c SSH inside TLS: through a socket pair to rlyd
 *
 * A realm is one relay.conf as this process sees it: its cache, its watcher, its connections to
 * Redis. Virtual hosts that name the same file share it. Realms are made from the configuration by
 * check_config (parent), and come alive in each child (child_init).
 *
 * Threads: request threads (httpd's and mod_http2's) and one watcher a realm. What both touch is
 * guarded inside the file that owns it.
 */
#ifndef MOD_RELAY_H
#define MOD_RELAY_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <mod_proxy.h>

#include "relay_owner.h"
#include "relay_route.h"

extern module AP_MODULE_DECLARE_DATA relay_module;
APLOG_USE_MODULE(relay);

/*
 * All that is used of mod_proxy is weak: httpd can load this module without it, and `configtest`
 * says what is missing instead of naming an undefined symbol.
 */
#pragma weak ap_proxy_define_worker
#pragma weak ap_proxy_initialize_worker
#pragma weak ap_proxy_tunnel_create
#pragma weak ap_proxy_tunnel_run
#pragma weak proxy_hook_pre_request
#pragma weak proxy_run_scheme_handler

typedef struct mod_relay_cache mod_relay_cache;
typedef struct mod_relay_watch mod_relay_watch;
typedef struct mod_relay_lookups mod_relay_lookups;
typedef struct mod_relay_backends mod_relay_backends;
typedef struct mod_relay_backend mod_relay_backend;
typedef struct mod_relay_interim mod_relay_interim;

typedef struct mod_relay_realm {
    const relay_config *relay;
    server_rec *server; /* for the log: the first one that names this relay.conf */
    uid_t user;         /* [relay] user: whose sockets devices are */
    /* only in children, from child_init on: */
    apr_pool_t *pool; /* of the process, with a locked allocator: any thread may make subpools */
    mod_relay_cache *cache;
    mod_relay_watch *watch;
    mod_relay_lookups *lookups;
    mod_relay_backends *backends;
    volatile apr_uint32_t owner_warned; /* owner.c's */
} mod_relay_realm;

/** A server's settings, after the merge; -1 or NULL where nothing was given. */
typedef struct mod_relay_server {
    const char *id; /* differs from those of all others */
    int engine;
    int ssh;
    int ssh_tls_max;
    int ssh_wait_max;   /* 0: as many as half of the process's threads */
    int tunnel_threads; /* 0: no limit */
    int tunnel_percent; /* one of the two */
    const char *conf_file;
    apr_interval_time_t cache_ttl;
    apr_interval_time_t stale_max;
    apr_interval_time_t backend_timeout;
    apr_interval_time_t backend_connect_timeout;
    apr_interval_time_t backend_idle;
    apr_array_header_t *hide_cookies; /* const char *: what RelayHideCookies names */
    apr_array_header_t
        *hidden_cookies;    /* these and the defaults; set by check_config where the engine is on */
    mod_relay_realm *realm; /* set by check_config where the engine is on */
} mod_relay_server;

/** What this module knows of a request that is its own (request_config). */
typedef struct mod_relay_request {
    mod_relay_realm *realm;
    const mod_relay_server *server;
    const char *name;
    int answer;                /* a mod_relay_answer when a page is to be shown, else -1 */
    int counted;               /* it has its part of the tunnel's share of threads */
    relay_route route;         /* where answer is -1 */
    const char *authorization; /* as the visitor sent it, or NULL */
    int asked;                 /* httpd has read it for another reading of the path */
    int stranger; /* this browser may hold what an earlier device left under the name */
    /* while mod_proxy has it: */
    mod_relay_backend *backend;
    struct proxy_worker *worker;
    void *proxy;             /* mod_proxy's proxy_server_conf */
    int pooled;              /* its connection may have served others before */
    int pinned;              /* its connection is this visitor's own */
    apr_table_t *headers_in; /* r->headers_in with the secrets, while mod_proxy has another table;
                                else NULL */
    apr_array_header_t
        *own_cookies; /* const char *: Set-Cookie of the relay's own modules, meanwhile */
    mod_relay_interim *interim;
    int keepalives; /* the visitor's connection's count, while that is hidden */
    int keepalives_hidden;
} mod_relay_request;

typedef enum {
    MOD_RELAY_UNKNOWN,     /* 404: never heard of it */
    MOD_RELAY_GONE,        /* 410: was here and has ended */
    MOD_RELAY_OFFLINE,     /* 503: the device is not connected */
    MOD_RELAY_SILENT,      /* 502: it is connected, but its service does not answer */
    MOD_RELAY_UNAVAILABLE, /* 503: the relay cannot tell at the moment */
    MOD_RELAY_NOT_WEB,     /* 404: a service that is not for browsers */
    MOD_RELAY_BUSY         /* 503: the tunnel holds its share of httpd's threads */
} mod_relay_answer;

static inline mod_relay_server *mod_relay_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &relay_module);
}

static inline mod_relay_request *mod_relay_request_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &relay_module);
}

/** Microseconds on a clock that never steps. */
apr_time_t mod_relay_clock(void);

/* ---- directives.c */

extern const command_rec mod_relay_directives[];
void *mod_relay_server_create(apr_pool_t *p, server_rec *s);
void *mod_relay_server_merge(apr_pool_t *p, void *base, void *add);
void mod_relay_directives_register_hooks(apr_pool_t *p);
/** The realms of the running configuration: array of mod_relay_realm *. */
apr_array_header_t *mod_relay_realms(void);

/* ---- cache.c: any thread */

typedef enum {
    MOD_RELAY_MISS,
    MOD_RELAY_HIT,
    MOD_RELAY_HIT_OVER, /* a route that has ended, unless word of an extension is on its way */
    MOD_RELAY_HIT_GONE,
    MOD_RELAY_HIT_NONE
} mod_relay_cached;

void mod_relay_cache_create(mod_relay_cache **out, apr_pool_t *p);
/**
 * @param route out, copied into p; only for MOD_RELAY_HIT
 * @param gone out, static; only for MOD_RELAY_HIT_OVER and MOD_RELAY_HIT_GONE
 * @param max_age an entry that was read from Redis longer ago is a miss
 */
mod_relay_cached mod_relay_cache_get(mod_relay_cache *c, const char *name,
                                     apr_interval_time_t max_age, relay_route *route,
                                     const char **gone, apr_pool_t *p);
/**
 * The state of a name's part of the cache, to be taken before Redis is asked; put drops an answer
 * that an invalidation has overtaken since.
 */
apr_uint32_t mod_relay_cache_ticket(mod_relay_cache *c, const char *name);
/** route NULL: gone says why, or NULL for a name that was never there. */
void mod_relay_cache_put(mod_relay_cache *c, const char *name, apr_uint32_t ticket,
                         const relay_route *route, const char *gone);
void mod_relay_cache_drop(mod_relay_cache *c, const char *name);
void mod_relay_cache_flush(mod_relay_cache *c);
void mod_relay_cache_count(mod_relay_cache *c, int *routes, int *absent);

/* ---- watch.c */

typedef enum {
    MOD_RELAY_LINK_UP,   /* invalidations arrive: the cache is right */
    MOD_RELAY_LINK_DOWN, /* Redis is away: the cache serves what it knows, up to RelayStaleMax */
    MOD_RELAY_LINK_UNTRACKED /* Redis is there but refuses tracking: nothing may be cached */
} mod_relay_link;

/** Starts the realm's watcher. */
apr_status_t mod_relay_watch_start(mod_relay_realm *realm, apr_pool_t *p);
/** Any thread. @param down_for out: how long the link has been down */
mod_relay_link mod_relay_watch_link(const mod_relay_watch *w, apr_interval_time_t *down_for);
/** Ends the thread; called once, before the pools of the child go. */
void mod_relay_watch_stop(mod_relay_watch *w);

/* ---- lookup.c: any thread */

void mod_relay_lookups_create(mod_relay_lookups **out, mod_relay_realm *realm, apr_pool_t *p);
/**
 * Cache, else Redis.
 * @return as relay_route_find(), without *why: trouble is logged here, each kind at most once in a
 * few seconds
 */
apr_status_t mod_relay_lookup(mod_relay_realm *realm, const mod_relay_server *conf,
                              const char *name, relay_route *route, const char **gone,
                              apr_pool_t *p);
/** The watcher has reached Redis again: the next look-up may, too. */
void mod_relay_lookups_resume(mod_relay_lookups *l);
/** Closes what has long been unused; the watcher calls it about once a second. */
void mod_relay_lookups_sweep(mod_relay_lookups *l);

/* ---- route.c */

void mod_relay_route_register_hooks(apr_pool_t *p);

/* ---- backend.c: any thread */

void mod_relay_backends_create(mod_relay_backends **out, mod_relay_realm *realm, apr_pool_t *p);
/** A route has changed or ended: its idle connections go soon, unless the next request finds it
 * unchanged. */
void mod_relay_backends_doubt(mod_relay_backends *b, const char *name);
/** The same for all: after Redis was away. */
void mod_relay_backends_doubt_all(mod_relay_backends *b);
/** Ends what nobody uses any more; the watcher calls it about once a second. */
void mod_relay_backends_sweep(mod_relay_backends *b);
/** Its connections are for requests that have them already; the next request gets new ones. */
void mod_relay_backend_retire(mod_relay_backend *be);
int mod_relay_backends_count(mod_relay_backends *b);
/** What httpd lacks for reaching devices, or NULL. */
const char *mod_relay_backend_missing(void);
void mod_relay_backend_register_hooks(apr_pool_t *p);

/* ---- owner.c */

/** Reads the tunnel user's uid; check_config. @return 0 where there is none, which is logged */
int mod_relay_owner_prepare(mod_relay_realm *realm, server_rec *s);
/** Who listens on a listen address; any thread. */
relay_owner mod_relay_owner_listens(const mod_relay_realm *realm, relay_listen_addr listen);
void mod_relay_owner_register_hooks(apr_pool_t *p);
/** The route's part of a pool's name. */
const char *mod_relay_backend_key_for(request_rec *r, const mod_relay_request *rr);
const char *mod_relay_backend_key(const mod_relay_backend *be);
/** A pool that no other request gets; NULL after a line in the log. The caller ends it. */
mod_relay_backend *mod_relay_backend_make_private(request_rec *r, const mod_relay_request *rr);
void mod_relay_backend_destroy(mod_relay_backend *be);

/* ---- secrets.c */

/** Names of cookies (const char *) that stay here: those of httpd's logins, as they are configured,
 * and more. */
apr_array_header_t *mod_relay_hidden_cookies(const apr_array_header_t *more, apr_pool_t *p);
/** Whether httpd reads Authorization for this request, or for one that it is a part of. After the
 * checks of access. */
int mod_relay_secrets_asked(request_rec *r);
/** Before any module changes the request's fields for the device. */
void mod_relay_secrets_note(request_rec *r, mod_relay_request *rr);
/** From here on until show, r->headers_in is what the device may have. */
void mod_relay_secrets_hide(request_rec *r, mod_relay_request *rr);
void mod_relay_secrets_show(request_rec *r, mod_relay_request *rr);

/* ---- pinned.c */

/**
 * @param out the pool of this visitor's own for the route, or NULL where he needs none
 * @return OK, or the status to answer with
 */
int mod_relay_pinned_acquire(request_rec *r, mod_relay_request *rr, mod_relay_backend **out);
/** The head of the device's answer is known and can still be changed. */
void mod_relay_pinned_answer(request_rec *r, const mod_relay_request *rr);

/* ---- answer.c, interim.c */

void mod_relay_answer_begin(request_rec *r, mod_relay_request *rr);
/** mod_proxy is done. */
void mod_relay_answer_end(request_rec *r, mod_relay_request *rr);
void mod_relay_interim_begin(request_rec *r, mod_relay_request *rr);
/** From here on what is written is the final answer, or another request's. */
void mod_relay_interim_end(mod_relay_request *rr);
void mod_relay_answer_register_hooks(apr_pool_t *p);
void mod_relay_interim_register_hooks(apr_pool_t *p);

/* ---- paths.c */

void mod_relay_paths_register_hooks(apr_pool_t *p);

/* ---- attempt.c */

/** @param unused how long no request has used the route's pool, -1 for its first one */
void mod_relay_attempt_begin(request_rec *r, mod_relay_request *rr, apr_interval_time_t unused);
/** mod_proxy is done, with *status; tries again where that is right, and leaves what came of it in
 * *status. */
void mod_relay_attempt_end(request_rec *r, mod_relay_request *rr, int *status);
void mod_relay_attempt_register_hooks(apr_pool_t *p);

/* ---- head.c, head_h2.c */

/** At most 256 kB of a device's answer come before its body: all lines, or frames of headers,
 * interim answers included. Browsers' own limits are no larger. */
#define MOD_RELAY_HEAD_MAX 262144

void mod_relay_head_register_hooks(apr_pool_t *p);
void mod_relay_head_h2_register_hooks(apr_pool_t *p);

/* ---- handoff.c, handoff_tls.c */

/** Notes the servers with RelaySSH on; check_config, after the merge. */
void mod_relay_handoff_servers(apr_pool_t *p, server_rec *main_server);
/** Whether there are any; from check_config on. */
int mod_relay_handoff_is_on(void);
/** The settings of the server that takes SSH at the address a connection came to, or NULL. */
const mod_relay_server *mod_relay_handoff_server(const conn_rec *c);
void mod_relay_handoff_register_hooks(apr_pool_t *p);
void mod_relay_handoff_tls_register_hooks(apr_pool_t *p);

/* ---- memory.c */

/**
 * Tells a browser to forget what an earlier device left under the name; once the route is known.
 * @return whether the request is not for the device, but answered here: r->handler and r->filename
 * are set
 */
int mod_relay_memory_begin(request_rec *r, mod_relay_request *rr);
/** The same with the page for a name that has ended. */
void mod_relay_memory_ended(request_rec *r, mod_relay_answer answer);
void mod_relay_memory_register_hooks(apr_pool_t *p);

/* ---- waiting.c: any thread */

/**
 * A connection has said too little yet and is about to wait in the MPM's poll set. It is ended when
 * its patience is over, or sooner when too many wait: its socket is then shut down, so that the MPM
 * brings the connection back to process_connection. Called again for each further wait, which
 * cannot make it longer.
 * @param fd its socket; a copy of the descriptor is kept until the end of the wait
 * @return 0 when it may not wait: out of descriptors or memory
 */
int mod_relay_waiting_begin(conn_rec *c, int fd, const mod_relay_server *conf,
                            apr_interval_time_t patience);
typedef enum {
    MOD_RELAY_WAITING,
    MOD_RELAY_WAITING_TOO_LONG,
    MOD_RELAY_WAITING_CROWDED
} mod_relay_waiting_over;
/** Whether it was ended meanwhile, and why; nothing that it may have said counts then. */
mod_relay_waiting_over mod_relay_waiting_is_over(conn_rec *c);
/** It waits no longer, and its descriptor may go elsewhere. The pool of the connection does this as
 * well. */
void mod_relay_waiting_end(conn_rec *c);
void mod_relay_waiting_register_hooks(apr_pool_t *p);

/* ---- shares.c */

/** How many requests of one tunnel may be with its device at once, 0: any
 * number. Only in children. */
int mod_relay_shares_limit(const mod_relay_server *conf);
/** For mod_status. @return 0 when nothing is counted */
int mod_relay_shares_look(unsigned *most, apr_uint32_t *refused);
void mod_relay_shares_register_hooks(apr_pool_t *p);

/* ---- check.c */

/** Warns of what is no error and goes wrong later; check_config. Its Redis is asked, if it answers
 * in time. */
void mod_relay_check_realm(const mod_relay_realm *realm, server_rec *main_server, apr_pool_t *p);

/* ---- pages.c */

/** The HTTP status of an answer. */
int mod_relay_answer_status(mod_relay_answer answer);
/**
 * Shows the page for an answer, unless an ErrorDocument stands for its status.
 * @return OK when the page was sent; else the status, for httpd to go on with
 */
int mod_relay_page_send(request_rec *r, const mod_relay_request *rr, mod_relay_answer answer);
void mod_relay_pages_register_hooks(apr_pool_t *p);

/* ---- status.c */

void mod_relay_status_register_hooks(apr_pool_t *p);

#endif
