/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The table of counts that httpd's processes share, with processes that come, go and are killed at
 * any moment. */

#include "tap.h"
#include "../../mod_relay/request/counts.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS 8
#define CELLS 1024
#define LIMIT 5

static mod_relay_counts *make(unsigned rows, unsigned cells)
{
    mod_relay_counts *c = NULL;
    void *at = mmap(NULL, mod_relay_counts_size(rows, cells), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ok(at != MAP_FAILED && mod_relay_counts_init(&c, at, rows, cells) == APR_SUCCESS,
       "a table of %u rows and %u cells", rows, cells);
    return c;
}

static const char *name_of(char *buf, unsigned i)
{
    snprintf(buf, 32, "tunnel%010u", i);
    return buf;
}

/* How many of a tunnel can still be taken; they are given back. */
static unsigned room(mod_relay_counts *c, int row, const char *name, unsigned limit)
{
    unsigned cells[CELLS], n = 0, i;

    while (n < CELLS && mod_relay_counts_take(c, row, name, limit, 1, &cells[n]) == MOD_RELAY_TAKEN)
        n++;
    for (i = 0; i < n; i++)
        mod_relay_counts_give(c, row, cells[i], 1);
    return n;
}

static void test_limit(void)
{
    mod_relay_counts *c = make(ROWS, CELLS);
    int a = mod_relay_counts_join(c, 1), b = mod_relay_counts_join(c, 2);
    char long_name[MOD_RELAY_COUNTS_KEY_SIZE + 1];
    unsigned cell, i;

    ok(a >= 0 && b >= 0 && a != b, "two processes have a row each");
    for (i = 0; i < LIMIT; i++)
        ok(mod_relay_counts_take(c, i % 2 ? a : b, "t", LIMIT, 1, &cell) == MOD_RELAY_TAKEN,
           "%u of %d", i + 1, LIMIT);
    ok(mod_relay_counts_take(c, a, "t", LIMIT, 1, &cell) == MOD_RELAY_REFUSED,
       "above the limit it is refused");
    ok(room(c, a, "u", LIMIT) == LIMIT, "another tunnel has its own share");
    ok(mod_relay_counts_take(c, a, "t", LIMIT + 1, 1, &cell) == MOD_RELAY_TAKEN,
       "a higher limit: taken");
    mod_relay_counts_give(c, a, cell, 1);
    mod_relay_counts_leave(c, 2); /* b had 3 */
    ok(room(c, a, "t", LIMIT) == 3, "what a process held goes with it");
    ok(mod_relay_counts_join(c, 3) == b, "its row is the next one's");
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    ok(mod_relay_counts_take(c, a, long_name, 1, 1, &cell) == MOD_RELAY_UNCOUNTED,
       "an id that is none is not counted, and merged with no other");
}

/* Ids of which many meet in a bucket; each has its own count. */
static void test_many(void)
{
    mod_relay_counts *c = make(2, 64);
    int row = mod_relay_counts_join(c, 1);
    unsigned cells[64], cell, i, wrong = 0;
    char name[32];

    for (i = 0; i < 64; i++)
        wrong +=
            mod_relay_counts_take(c, row, name_of(name, i), 1, 1, &cells[i]) != MOD_RELAY_TAKEN;
    ok(wrong == 0, "as many tunnels as there are cells");
    for (i = 0; i < 64; i++)
        wrong += mod_relay_counts_take(c, row, name_of(name, i), 1, 1, &cell) != MOD_RELAY_REFUSED;
    ok(wrong == 0, "each is at its own limit");
    ok(mod_relay_counts_take(c, row, "one more", 1, 1, &cell) == MOD_RELAY_UNCOUNTED,
       "a table that is full: not counted");
    mod_relay_counts_give(c, row, cells[7], 1);
    ok(mod_relay_counts_take(c, row, "one more", 1, 1, &cell) == MOD_RELAY_TAKEN,
       "a cell that is free again is used");
    ok(mod_relay_counts_take(c, row, name_of(name, 7), 1, 1, &cells[7]) == MOD_RELAY_UNCOUNTED,
       "and is nobody else's");
    c = make(4, 4096);
    row = mod_relay_counts_join(c, 1);
    for (i = 0; i < 100000; i++) {
        wrong += mod_relay_counts_take(c, row, name_of(name, i), 1, 1, &cell) != MOD_RELAY_TAKEN;
        mod_relay_counts_give(c, row, cell, 1);
    }
    ok(wrong == 0 && mod_relay_counts_most(c) == 0, "100,000 tunnels one after another");
}

/* Takes and gives until it is killed. */
static void work(mod_relay_counts *c, unsigned seed)
{
    int row = mod_relay_counts_join(c, getpid());
    unsigned cells[32], n = 0;
    char name[32];

    for (;;) {
        seed = seed * 1103515245u + 12345u;
        if (n < 32 && (n == 0 || seed & 0x10000)) {
            if (mod_relay_counts_take(c, row, name_of(name, (seed >> 20) % 40), LIMIT, 1,
                                      &cells[n]) == MOD_RELAY_TAKEN)
                n++;
        }
        if (n && seed & 0x20000)
            mod_relay_counts_give(c, row, cells[--n], 1);
    }
}

static pid_t start(mod_relay_counts *c, unsigned seed)
{
    pid_t pid = fork();

    if (pid == 0)
        work(c, seed);
    return pid;
}

static void end(mod_relay_counts *c, pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mod_relay_counts_leave(c, pid);
}

static void test_killed(void)
{
    mod_relay_counts *c = make(ROWS, CELLS);
    int row = mod_relay_counts_join(c, getpid()), i, round;
    unsigned over = 0, short_of = 0;
    pid_t pids[ROWS - 1];
    char name[32];

    for (i = 0; i < ROWS - 1; i++)
        pids[i] = start(c, (unsigned)i);
    for (round = 0; round < 300; round++) {
        struct timespec pause = {0, 200000 + (round % 7) * 130000};

        nanosleep(&pause, NULL);
        over += mod_relay_counts_most(c) > LIMIT;
        i = round % (ROWS - 1);
        end(c, pids[i]);
        pids[i] = start(c, (unsigned)round + 100);
    }
    ok(over == 0, "300 processes killed at work: no tunnel ever held more than its limit");
    for (i = 0; i < ROWS - 1; i++)
        end(c, pids[i]);
    ok(mod_relay_counts_most(c) == 0, "afterwards nothing is held");
    for (i = 0; i < 40; i++)
        short_of += room(c, row, name_of(name, (unsigned)i), LIMIT) != LIMIT;
    ok(short_of == 0, "and each tunnel has its whole share");
}

/* Whose end nobody noticed makes room when there is none. */
static void test_unnoticed(void)
{
    mod_relay_counts *c = make(2, CELLS);
    pid_t pid = fork();
    unsigned cell;
    int row;

    if (pid == 0) {
        row = mod_relay_counts_join(c, getpid());
        _exit(mod_relay_counts_take(c, row, "t", 1, 1, &cell) == MOD_RELAY_TAKEN ? 0 : 1);
    }
    waitpid(pid, NULL, 0);
    ok(mod_relay_counts_join(c, getppid()) >= 0, "one row is left");
    row = mod_relay_counts_join(c, getpid());
    ok(row >= 0 && room(c, row, "t", 1) == 1,
       "then that of the dead one, and what it held is given back");
    ok(mod_relay_counts_join(c, 1) < 0, "no row is left: said");
}

static void test_cost(void)
{
    mod_relay_counts *c = make(20, 3072);
    int row = mod_relay_counts_join(c, 1), i;
    struct timespec a, b;
    unsigned cell;
    double ns;

    for (i = 0; i < 15; i++)
        mod_relay_counts_join(c, 10000 + i);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (i = 0; i < 1000000; i++) {
        mod_relay_counts_take(c, row, "abcdefghijklmnop", 37, 1, &cell);
        mod_relay_counts_give(c, row, cell, 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e6;
    printf("# take and give, 16 processes known: %.0f ns\n", ns);
    ok(ns < 5000, "both cost less than some microseconds");
}

int main(void)
{
    test_limit();
    test_many();
    test_killed();
    test_unnoticed();
    test_cost();
    return done_testing();
}
