/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "shared.h"
#include "hooks.h"
#include "mod_relay.h"
#include "realm.h"

#include <ap_mpm.h>
#include <apr_atomic.h>
#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETAINED "mod_relay-shared"
/* No more tunnels than threads can be busy; mod_http2 has up to four for each of httpd's
 * (apache-conf/relay-threads.conf), or half as many again. Each may have a connection to a device
 * that is counted twice (sockets.c). */
#define CELLS_PER_THREAD 15
#define CELLS_MIN 3072
#define TABLE_MAX ((apr_size_t)64 << 20)

/* Ahead of the counts in memory. */
typedef struct front {
    mod_relay_tally tally;
    volatile apr_uint32_t calls; /* a futex */
    mod_relay_device devices[MOD_RELAY_DEVICES_MAX];
} front;

#define FRONT_SIZE APR_ALIGN(sizeof(front), 4096)

/* httpd keeps this for the module over restarts. */
typedef struct retained {
    int version;
    unsigned rows;
    front *at;
    mod_relay_counts *counts;
} retained;

static mod_relay_shared shared;
static int row; /* this child's in the counts, or -1 */
static volatile apr_uint32_t *calls;

const mod_relay_shared *mod_relay_shared_get(void)
{
    return shared.counts && row >= 0 ? &shared : NULL;
}

/* ---- what children do */

mod_relay_taken mod_relay_shared_take(const char *key, unsigned limit, unsigned *cell)
{
    return mod_relay_counts_take(shared.counts, row, key, limit, relay_clock(), cell);
}

void mod_relay_shared_give(unsigned cell)
{
    mod_relay_counts_give(shared.counts, row, cell, relay_clock());
}

static void futex(int what, apr_uint32_t value)
{
    syscall(SYS_futex, calls, what, value, NULL, NULL, 0);
}

void mod_relay_shared_call(void)
{
    apr_atomic_inc32(calls);
    futex(FUTEX_WAKE, INT_MAX);
}

apr_uint32_t mod_relay_shared_calls(void)
{
    return apr_atomic_read32(calls);
}

void mod_relay_shared_await(apr_uint32_t seen)
{
    futex(FUTEX_WAIT, seen);
}

/* ---- the memory */

static unsigned query(int what, int otherwise)
{
    int n;

    return ap_mpm_query(what, &n) == APR_SUCCESS && n > 0 ? (unsigned)n : (unsigned)otherwise;
}

static void make(retained *kept, unsigned rows, server_rec *s)
{
    unsigned threads = query(AP_MPMQ_HARD_LIMIT_THREADS, 1), cells;
    apr_size_t size;
    void *at;

    kept->version = MOD_RELAY_COUNTS_VERSION;
    kept->rows = rows;
    kept->counts = NULL;
    cells = rows * threads * CELLS_PER_THREAD;
    if (cells < CELLS_MIN)
        cells = CELLS_MIN;
    while ((size = mod_relay_counts_size(rows, cells)) > TABLE_MAX && cells > CELLS_MIN)
        cells /= 2;
    /* The hard limits of an MPM are far above what is in use, but untouched pages take no memory.
     */
    at = mmap(NULL, FRONT_SIZE + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kept->at = at;
    if (at == MAP_FAILED ||
        mod_relay_counts_init(&kept->counts, (char *)at + FRONT_SIZE, rows, cells) != APR_SUCCESS) {
        kept->counts = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, errno, s,
                     "RLY114 no memory to count the requests of tunnels in: RelayTunnelThreads is "
                     "without effect");
    }
}

static int post_config(apr_pool_t *p, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    /* A few more: the parent may not have noticed yet that some have ended. */
    unsigned rows = query(AP_MPMQ_HARD_LIMIT_DAEMONS, 1) + 4;
    retained *kept = ap_retained_data_get(RETAINED);

    memset(&shared, 0, sizeof(shared));
    row = -1;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        !mod_relay_realms()->nelts)
        return OK;
    if (!kept)
        kept = ap_retained_data_create(RETAINED, sizeof(*kept));
    if (!kept->counts || kept->version != MOD_RELAY_COUNTS_VERSION || kept->rows < rows)
        make(kept, rows, s); /* earlier children go on with the old memory */
    if (!kept->counts)
        return OK;
    shared.counts = kept->counts;
    shared.devices = kept->at->devices;
    shared.tally = &kept->at->tally;
    calls = &kept->at->calls;
    return OK;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    if (!shared.counts)
        return;
    row = mod_relay_counts_join(shared.counts, getpid());
    if (row < 0)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "RLY119 more processes than httpd was configured for: this one does not count "
                     "the requests of tunnels");
}

/* The parent has noticed that a child has ended, in whatever way. */
static void child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                         mpm_child_status state)
{
    if (shared.counts && state == MPM_CHILD_EXITED)
        mod_relay_counts_leave(shared.counts, pid);
}

void mod_relay_shared_register_hooks(apr_pool_t *p)
{
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
}
