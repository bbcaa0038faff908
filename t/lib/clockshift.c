/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * For LD_PRELOAD: a program's idea of the date is off by as many seconds as the file that
 * CLOCKSHIFT names says, which clockrig.py writes: one int64_t. Its monotonic clocks are as they
 * are. The file is mapped once, as a program starts: the time is asked for so often that more than
 * a look into memory would be felt, and from within signal handlers, chroots and sandboxes. Whoever
 * the program becomes keeps the mapping, and what it executes makes one of its own.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *seconds; /* NULL: the machine's own clock */

__attribute__((constructor)) static void map_seconds(void)
{
    const char *path = getenv("CLOCKSHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mem;

    if (fd < 0)
        return;
    mem = mmap(NULL, sizeof(*seconds), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mem != MAP_FAILED)
        seconds = mem;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rv = (int)syscall(SYS_clock_gettime, clock, ts);

    if (rv == 0 && seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ts->tv_sec += (time_t)__atomic_load_n(seconds, __ATOMIC_RELAXED);
    return rv;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
