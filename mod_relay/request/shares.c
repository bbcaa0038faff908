/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A request or a WebSocket holds a thread for as long as it lasts, and its device or its visitor
 * decides how long that is. Without a bound, requests of one tunnel that hang would end the service
 * of all others.
 *
 * A request counts from the moment it goes to the device until its pool ends. The counts are in
 * memory that all children share. The parent makes it once; it outlives restarts, so that the
 * requests of an older generation's children count as well. Where counting fails, the request goes
 * on: the bound protects others, it is no permission.
 */

#include "shares.h"
#include "answer/pages.h"
#include "counts.h"
#include "hooks.h"
#include "request.h"

#include <ap_mpm.h>
#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <sys/mman.h>
#include <unistd.h>

#define RETAINED "mod_relay-shares"
/* A share is never smaller than this, which one page takes in one browser. */
#define THREADS_MIN 16
/* No more tunnels than threads can be busy; mod_http2 has up to four for each of httpd's
 * (apache-conf/relay-threads.conf), or half as many again. */
#define CELLS_PER_THREAD 5
#define CELLS_MIN 1024
#define TABLE_MAX ((apr_size_t)64 << 20)

/* httpd keeps this for the module over restarts. */
typedef struct retained {
    int version;
    unsigned rows;
    mod_relay_counts *counts;
} retained;

typedef struct share {
    unsigned cell;
} share;

static mod_relay_counts *counts;
static int row = -1;    /* of this child */
static int threads_all; /* MaxRequestWorkers */

static unsigned query(int what, int otherwise)
{
    int n;

    return ap_mpm_query(what, &n) == APR_SUCCESS && n > 0 ? (unsigned)n : (unsigned)otherwise;
}

static mod_relay_counts *make_counts(unsigned rows, server_rec *s)
{
    unsigned threads = query(AP_MPMQ_HARD_LIMIT_THREADS, 1), cells;
    mod_relay_counts *made = NULL;
    apr_size_t size;
    void *at;

    cells = rows * threads * CELLS_PER_THREAD;
    if (cells < CELLS_MIN)
        cells = CELLS_MIN;
    while ((size = mod_relay_counts_size(rows, cells)) > TABLE_MAX && cells > CELLS_MIN)
        cells /= 2;
    /* The hard limits of an MPM are far above what is in use, but untouched pages take no memory.
     */
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mod_relay_counts_init(&made, at, rows, cells) != APR_SUCCESS)
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s,
                     "RLY114 no memory to count the requests of tunnels in: RelayTunnelThreads is "
                     "without effect");
    return made;
}

static int post_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    /* A few more: the parent may not have noticed yet that some have ended. */
    unsigned rows = query(AP_MPMQ_HARD_LIMIT_DAEMONS, 1) + 4;
    retained *kept = ap_retained_data_get(RETAINED);

    counts = NULL;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        !mod_relay_realms()->nelts)
        return OK;
    if (!kept)
        kept = ap_retained_data_create(RETAINED, sizeof(*kept));
    if (!kept->counts || kept->version != MOD_RELAY_COUNTS_VERSION || kept->rows < rows) {
        kept->version = MOD_RELAY_COUNTS_VERSION;
        kept->rows = rows;
        kept->counts = make_counts(rows, s); /* earlier children go on with the old table */
    }
    counts = kept->counts;
    return OK;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    threads_all = (int)(query(AP_MPMQ_MAX_DAEMONS, 1) * query(AP_MPMQ_MAX_THREADS, 1));
    row = counts ? mod_relay_counts_join(counts, getpid()) : -1;
    if (counts && row < 0)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "RLY119 more processes than httpd was configured for: this one does not count "
                     "the requests of tunnels");
}

/* The parent has noticed that a child has ended, in whatever way. */
static void child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                         mpm_child_status state)
{
    if (counts && state == MPM_CHILD_EXITED)
        mod_relay_counts_leave(counts, pid);
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

int mod_relay_shares_look(unsigned *most, apr_uint32_t *refused)
{
    if (!counts)
        return 0;
    mod_relay_counts_look(counts, most, refused);
    return 1;
}

static apr_status_t give_back(void *data)
{
    mod_relay_counts_give(counts, row, ((share *)data)->cell);
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

/* Ahead of mod_proxy's handler: httpd has checked the visitor's access by now, and nothing of the
 * request's body has been read. */
static int handler(request_rec *r)
{
    mod_relay_request *rr = mod_relay_request_of(r);
    unsigned cell;
    share *mine;
    int limit;

    if (!rr || rr->answer >= 0 || row < 0 || is_counted(r) || (limit = limit_of(rr->server)) == 0)
        return DECLINED;
    switch (mod_relay_counts_take(counts, row, rr->route.tunnel, (unsigned)limit, &cell)) {
    case MOD_RELAY_TAKEN:
        mine = apr_palloc(r->pool, sizeof(*mine));
        mine->cell = cell;
        apr_pool_cleanup_register(r->pool, mine, give_back, apr_pool_cleanup_null);
        rr->counted = 1;
        return DECLINED;
    case MOD_RELAY_REFUSED:
        return mod_relay_page_send(r, rr, MOD_RELAY_BUSY);
    default:
        return DECLINED;
    }
}

void mod_relay_shares_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_proxy.c", NULL};

    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, before, APR_HOOK_FIRST);
}
