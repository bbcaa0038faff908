/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * relay-sshd-session and relay-sshd-auth stand between sshd and the two programs that OpenSSH 10
 * starts for each connection (sshd_config's SshdSessionPath and SshdAuthPath).
 *
 * Where the kernel merges equal pages (relay.conf's `merge', or MemoryKSM in a unit of systemd),
 * relay-sshd-session makes sessions alike: a tunnel then takes less than a third of the memory.
 * Without address randomisation libraries and heap are at the same places in all of them. Without
 * glibc's cache of small pieces, malloc() writes no random key into what is freed. sshd-session
 * starts sshd-auth, which speaks with strangers: relay-sshd-auth gives it back what was taken.
 *
 * Both run as root with sshd's descriptors and arguments, and hand these on untouched. What they
 * become is compiled in. They have nothing to clean up and no step that must succeed, but the last.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#define PR_GET_MEMORY_MERGE 68
#endif

#define ASK 0xffffffffUL /* personality() changes nothing, and tells */
#define TUNABLES "GLIBC_TUNABLES"

#ifdef WRAPS_SESSION
#define OWN_NAME "relay-sshd-session"
#define REAL_PATH RELAY_SSHD_SESSION

/** Whether this process's pages are going to be merged: whoever started sshd allows it, and the
 * kernel does it. */
static int is_merged(void)
{
    char run = '0';
    int fd;

    if (prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) != 1 ||
        (fd = open("/sys/kernel/mm/ksm/run", O_RDONLY | O_CLOEXEC)) < 0)
        return 0;
    if (read(fd, &run, 1) != 1)
        run = '0';
    close(fd);
    return run == '1';
}

static void prepare(void)
{
    int was = personality(ASK);

    if (was == -1 || !is_merged())
        return;
    personality((unsigned long)was | ADDR_NO_RANDOMIZE);
    setenv(TUNABLES, "glibc.malloc.tcache_count=0", 1);
}
#else
#define OWN_NAME "relay-sshd-auth"
#define REAL_PATH RELAY_SSHD_AUTH

static void prepare(void)
{
    int was = personality(ASK);

    if (was != -1 && (was & ADDR_NO_RANDOMIZE)) {
        personality((unsigned long)was & ~(unsigned long)ADDR_NO_RANDOMIZE);
        unsetenv(TUNABLES);
    }
    prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
}
#endif

int main(int argc, char **argv)
{
    static char path[] = REAL_PATH;
    char *alone[] = {path, NULL};

    prepare();
    if (argc > 0)
        argv[0] = path; /* by this it calls itself in the log */
    execv(path, argc > 0 ? argv : alone);
    openlog(OWN_NAME, LOG_PID | LOG_PERROR, LOG_AUTH);
    syslog(LOG_ERR, "RLY601: no device can log in: cannot run %s: %m", path);
    return 127;
}
