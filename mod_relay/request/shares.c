/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A request or a WebSocket holds a thread for as long as it lasts, and its device or its visitor
 * decides how long that is. Without a bound, requests of one tunnel that hang would end the service
 * of all others.
 *
 * A request counts from the moment it goes to the device until its pool ends, over all children
 * (shared.h). Where counting fails, the request goes on: the bound protects others, it is no
 * permission.
 *
 * A page of many objects is no attack. So a few requests above the bound wait for their turn, while
 * others of the tunnel end. Those hold threads as well: there are no more of them, of all tunnels
 * together, than one tunnel's share; and a quarter of that over HTTP/2, since mod_http2 has no more
 * threads in a process than one tunnel's share.
 */

#include "shares.h"
#include "answer/pages.h"
#include "hooks.h"
#include "request.h"
#include "turn.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <http_config.h>

/* A share is never smaller than this, which one page takes in one browser. */
#define THREADS_MIN 16
/* Those that wait are counted under these. */
#define ROOM "*share"
#define ROOM_H2 "*share2"
/* A tunnel of which no request has begun or ended for so long is one whose requests hang. */
#define QUIET_MAX apr_time_from_sec(2)

static int threads_all; /* MaxRequestWorkers */

static void child_init(apr_pool_t *p, server_rec *s)
{
    int daemons = 1, threads = 1;

    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    threads_all = (daemons > 0 ? daemons : 1) * (threads > 0 ? threads : 1);
}

/* The number of requests of one tunnel that may be with its device at once; 0: any number. */
static int limit_of(const mod_relay_server *conf)
{
    int n;

    if (conf->tunnel_threads.number >= 0)
        return conf->tunnel_threads.number;
    n = threads_all * conf->tunnel_threads.percent / 100;
    return n > THREADS_MIN ? n : THREADS_MIN;
}

unsigned mod_relay_shares_waiting(void)
{
    return mod_relay_turn_waiting(ROOM) + mod_relay_turn_waiting(ROOM_H2);
}

static apr_status_t give_back(void *data)
{
    mod_relay_shared_give(*(unsigned *)data);
    return APR_SUCCESS;
}

/* An internal redirect has a new request_rec in the same pool; the first one counts already. */
static int is_counted(const request_rec *r)
{
    for (; r; r = r->prev)
        if (mod_relay_request_of(r) && mod_relay_request_of(r)->counted)
            return 1;
    return 0;
}

/* The tunnel holds its share. @param cell in: that tunnel's; out: this request's, when taken */
static mod_relay_taken wait_for_share(request_rec *r, const mod_relay_shared *shared,
                                      unsigned limit, unsigned *cell)
{
    const mod_relay_request *rr = mod_relay_request_of(r);
    mod_relay_taken how = MOD_RELAY_REFUSED;
    mod_relay_turn turn;

    if (!(r->connection->master ? mod_relay_turn_begin(&turn, r, ROOM_H2, limit / 4)
                                : mod_relay_turn_begin(&turn, r, ROOM, limit)))
        return how;
    while (how == MOD_RELAY_REFUSED &&
           mod_relay_turn_wait(&turn, mod_relay_counts_moved(shared->counts, *cell) + QUIET_MAX))
        how = mod_relay_shared_take(rr->route.tunnel, limit, cell);
    mod_relay_turn_end(&turn);
    return how;
}

/* Ahead of mod_proxy's handler: httpd has checked the visitor's access by now, and nothing of the
 * request's body has been read. */
static int handler(request_rec *r)
{
    const mod_relay_shared *shared = mod_relay_shared_get();
    mod_relay_request *rr = mod_relay_request_of(r);
    mod_relay_taken how;
    unsigned cell, *mine;
    int limit;

    if (!rr || rr->answer >= 0 || !shared || is_counted(r) || (limit = limit_of(rr->server)) == 0)
        return DECLINED;
    how = mod_relay_shared_take(rr->route.tunnel, (unsigned)limit, &cell);
    if (how == MOD_RELAY_REFUSED)
        how = wait_for_share(r, shared, (unsigned)limit, &cell);
    switch (how) {
    case MOD_RELAY_TAKEN:
        mine = apr_palloc(r->pool, sizeof(*mine));
        *mine = cell;
        apr_pool_cleanup_register(r->pool, mine, give_back, apr_pool_cleanup_null);
        rr->counted = 1;
        return DECLINED;
    case MOD_RELAY_REFUSED:
        apr_atomic_inc32(&shared->tally->refused);
        return mod_relay_page_send(r, rr, MOD_RELAY_BUSY);
    default:
        return DECLINED;
    }
}

void mod_relay_shares_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_proxy.c", NULL};

    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, before, APR_HOOK_FIRST);
}
