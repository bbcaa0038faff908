/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "counts.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define NONE 0 /* cells are numbered from 1 in chains */
/* The lock is held for less than a microsecond. If it is not to be had in this time, its owner is a
 * process that was stopped. */
#define LOCK_MS 20
/* The table is swept when so many cells are in use, and then when twice as many are. */
#define SWEEP_FIRST 256
#define CLEARING (-1)

typedef struct cell {
    char key[MOD_RELAY_COUNTS_KEY_SIZE];
    uint32_t next;     /* in its chain, or among the free ones */
    apr_time_t moved;  /* when its count last changed */
    uint32_t counts[]; /* one for each row */
} cell;

struct mod_relay_counts {
    pthread_mutex_t mutex; /* guards all below, except the counts and pids */
    uint32_t rows, cells, buckets;
    uint32_t rows_used; /* rows from this one on have never been used */
    uint32_t used;      /* cells from this one on have never been used */
    uint32_t sweep_at;
    uint32_t free;
    size_t stride, heads_at, cells_at;
    int32_t pids[]; /* one for each row; 0: free, CLEARING: between the two */
};

/* ---- where things lie */

static size_t rounded(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t stride_for(unsigned rows)
{
    return rounded(sizeof(cell) + rows * sizeof(uint32_t));
}

static uint32_t buckets_for(unsigned cells)
{
    uint32_t n = 16;

    while (n < cells)
        n *= 2;
    return n;
}

apr_size_t mod_relay_counts_size(unsigned rows, unsigned cells)
{
    return rounded(sizeof(mod_relay_counts) + rows * sizeof(int32_t)) +
           rounded(buckets_for(cells) * sizeof(uint32_t)) + cells * stride_for(rows);
}

static uint32_t *heads(mod_relay_counts *c)
{
    return (uint32_t *)(void *)((char *)c + c->heads_at);
}

/* number: from 1 on */
static cell *cell_of(mod_relay_counts *c, uint32_t number)
{
    return (cell *)(void *)((char *)c + c->cells_at + (number - 1) * c->stride);
}

static uint32_t *head_for(mod_relay_counts *c, const char *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are random, so that chains are short */

    while (*key)
        hash = (hash ^ (unsigned char)*key++) * 16777619u;
    return &heads(c)[(hash ^ (hash >> 16)) & (c->buckets - 1)];
}

apr_status_t mod_relay_counts_init(mod_relay_counts **out, void *at, unsigned rows, unsigned cells)
{
    mod_relay_counts *c = at;
    pthread_mutexattr_t attr;
    int rc;

    c->rows = rows;
    c->cells = cells;
    c->buckets = buckets_for(cells);
    c->sweep_at = cells < SWEEP_FIRST ? cells : SWEEP_FIRST;
    c->stride = stride_for(rows);
    c->heads_at = rounded(sizeof(*c) + rows * sizeof(int32_t));
    c->cells_at = c->heads_at + rounded(c->buckets * sizeof(uint32_t));
    if ((rc = pthread_mutexattr_init(&attr)) != 0)
        return rc;
    if ((rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)) == 0 &&
        (rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST)) == 0)
        rc = pthread_mutex_init(&c->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    *out = c;
    return rc;
}

/* ---- rows */

/* Only while it is still that process's: another may have cleared and taken it meanwhile. */
static void clear_row(mod_relay_counts *c, unsigned row, int32_t pid)
{
    uint32_t used = __atomic_load_n(&c->used, __ATOMIC_ACQUIRE), i;

    if (!__atomic_compare_exchange_n(&c->pids[row], &pid, CLEARING, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    for (i = 1; i <= used; i++)
        __atomic_store_n(&cell_of(c, i)->counts[row], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&c->pids[row], 0, __ATOMIC_RELEASE);
}

void mod_relay_counts_leave(mod_relay_counts *c, pid_t pid)
{
    unsigned row;

    for (row = 0; row < c->rows; row++)
        clear_row(c, row, (int32_t)pid);
}

static void use_row(mod_relay_counts *c, uint32_t row)
{
    uint32_t seen = __atomic_load_n(&c->rows_used, __ATOMIC_ACQUIRE);

    while (seen <= row && !__atomic_compare_exchange_n(&c->rows_used, &seen, row + 1, 0,
                                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

int mod_relay_counts_join(mod_relay_counts *c, pid_t pid)
{
    unsigned row;
    int tries;

    for (tries = 0; tries < 2; tries++) {
        for (row = 0; row < c->rows; row++) {
            int32_t none = 0;

            if (__atomic_compare_exchange_n(&c->pids[row], &none, (int32_t)pid, 0, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED)) {
                use_row(c, row);
                return (int)row;
            }
        }
        /* No row is free: the parent has missed the end of a process. */
        for (row = 0; row < c->rows; row++) {
            int32_t old = __atomic_load_n(&c->pids[row], __ATOMIC_ACQUIRE);

            if (old > 0 && kill(old, 0) < 0 && errno == ESRCH)
                clear_row(c, row, old);
        }
    }
    return -1;
}

/* ---- cells; under the lock */

static unsigned sum(const mod_relay_counts *c, const cell *e)
{
    uint32_t rows = __atomic_load_n(&c->rows_used, __ATOMIC_ACQUIRE), i;
    unsigned n = 0;

    for (i = 0; i < rows; i++)
        n += __atomic_load_n(&e->counts[i], __ATOMIC_RELAXED);
    return n;
}

/* Puts all in order from the counts alone: cells that hold something into their chains, the others
 * among the free ones. */
static void sweep(mod_relay_counts *c)
{
    uint32_t i, kept = 0;

    memset(heads(c), 0, c->buckets * sizeof(uint32_t));
    c->free = NONE;
    for (i = c->used; i >= 1; i--) {
        cell *e = cell_of(c, i);
        uint32_t *to = &c->free;

        if (sum(c, e)) {
            to = head_for(c, e->key);
            kept++;
        }
        e->next = *to;
        *to = i;
    }
    while (c->sweep_at < c->cells && kept >= c->sweep_at / 2)
        c->sweep_at = c->sweep_at * 2 < c->cells ? c->sweep_at * 2 : c->cells;
}

static int lock(mod_relay_counts *c)
{
    struct timespec until;
    int rc = pthread_mutex_trylock(&c->mutex);

    if (rc == EBUSY) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOCK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        rc = pthread_mutex_timedlock(&c->mutex, &until);
    }
    if (rc == EOWNERDEAD) { /* its owner was killed at work: chains may be half done */
        sweep(c);
        rc = pthread_mutex_consistent(&c->mutex);
    }
    return rc == 0;
}

static uint32_t new_cell(mod_relay_counts *c)
{
    uint32_t number;

    if (c->free == NONE && c->used >= c->sweep_at)
        sweep(c);
    if ((number = c->free) != NONE)
        c->free = cell_of(c, number)->next;
    else if (c->used < c->sweep_at)
        __atomic_store_n(&c->used, number = c->used + 1, __ATOMIC_RELEASE);
    return number;
}

/* The key's cell, a new one if need be; NONE when the table is full. */
static uint32_t find(mod_relay_counts *c, const char *key)
{
    uint32_t number, empty = NONE;

    for (number = *head_for(c, key); number != NONE; number = cell_of(c, number)->next) {
        if (strcmp(cell_of(c, number)->key, key) == 0)
            return number;
        if (!empty && !sum(c, cell_of(c, number)))
            empty = number;
    }
    /* An empty cell of this very chain can stay where it is. */
    if ((number = empty) == NONE && (number = new_cell(c)) != NONE) {
        uint32_t *head = head_for(c, key);

        cell_of(c, number)->next = *head;
        *head = number;
    }
    if (number != NONE)
        memcpy(cell_of(c, number)->key, key, strlen(key) + 1);
    return number;
}

mod_relay_taken mod_relay_counts_take(mod_relay_counts *c, int row, const char *key, unsigned limit,
                                      apr_time_t now, unsigned *out)
{
    mod_relay_taken how = MOD_RELAY_UNCOUNTED;
    uint32_t number;

    if (strlen(key) >= MOD_RELAY_COUNTS_KEY_SIZE || !lock(c))
        return MOD_RELAY_UNCOUNTED;
    if ((number = find(c, key)) != NONE) {
        cell *e = cell_of(c, number);

        how = sum(c, e) >= limit ? MOD_RELAY_REFUSED : MOD_RELAY_TAKEN;
        if (how == MOD_RELAY_TAKEN) {
            __atomic_add_fetch(&e->counts[row], 1, __ATOMIC_ACQ_REL);
            __atomic_store_n(&e->moved, now, __ATOMIC_RELAXED);
        }
        *out = number;
    }
    pthread_mutex_unlock(&c->mutex);
    return how;
}

void mod_relay_counts_give(mod_relay_counts *c, int row, unsigned number, apr_time_t now)
{
    __atomic_store_n(&cell_of(c, number)->moved, now, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&cell_of(c, number)->counts[row], 1, __ATOMIC_ACQ_REL);
}

apr_time_t mod_relay_counts_moved(mod_relay_counts *c, unsigned number)
{
    return __atomic_load_n(&cell_of(c, number)->moved, __ATOMIC_RELAXED);
}

unsigned mod_relay_counts_of(mod_relay_counts *c, const char *key)
{
    unsigned n = 0;
    uint32_t number;

    if (!lock(c))
        return 0;
    for (number = *head_for(c, key); number != NONE; number = cell_of(c, number)->next)
        if (strcmp(cell_of(c, number)->key, key) == 0)
            n = sum(c, cell_of(c, number));
    pthread_mutex_unlock(&c->mutex);
    return n;
}

/* The first character of a key that is no tunnel's id is neither a letter nor a digit. */
static int is_of_tunnel(const cell *e)
{
    return isalnum((unsigned char)e->key[0]);
}

unsigned mod_relay_counts_most(mod_relay_counts *c)
{
    uint32_t used = __atomic_load_n(&c->used, __ATOMIC_ACQUIRE), i;
    unsigned most = 0;

    for (i = 1; i <= used; i++) {
        unsigned n = is_of_tunnel(cell_of(c, i)) ? sum(c, cell_of(c, i)) : 0;

        if (n > most)
            most = n;
    }
    return most;
}
