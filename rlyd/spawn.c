/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

int spawn_merge_pages(void)
{
    return prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
}

int spawn_become_sshd(const relay_config *cfg, int fd, int keep)
{
    /* Nothing of ours: NOTIFY_SOCKET above all, which Debian's sshd would answer. */
    char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    char *argv[] = {(char *)cfg->sshd, "-i", "-f", (char *)cfg->sshd_config, NULL, NULL, NULL};
    int null, flags = fcntl(fd, F_GETFL);
    sigset_t none;

    if (cfg->sshd_log) {
        argv[4] = "-E";
        argv[5] = (char *)cfg->sshd_log;
    }
    /* What httpd accepted is non-blocking; sshd expects to set that itself, on what it was given. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return errno;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if ((null = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0 || (keep > STDERR_FILENO + 1 && close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0) < 0) ||
        close_range((unsigned)keep + 1, ~0U, 0) < 0)
        return errno;
    execve(cfg->sshd, argv, env);
    return errno;
}
