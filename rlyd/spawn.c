/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

int spawn_merge_pages(void)
{
    return prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
}

int spawn_sshd(const rlyd *d, int fd, pid_t *pid)
{
    const relay_config *cfg = d->cfg;
    /* Nothing of ours: NOTIFY_SOCKET above all, which Debian's sshd would answer. */
    char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    char *argv[] = {(char *)cfg->sshd, "-i", "-f", (char *)cfg->sshd_config, NULL, NULL, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    int err, flags = fcntl(fd, F_GETFL);

    if (cfg->sshd_log) {
        argv[4] = "-E";
        argv[5] = (char *)cfg->sshd_log;
    }
    /* What httpd accepted is non-blocking; sshd expects to set that itself, on what it was given. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return errno;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    err = posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
    if (!err)
        err = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!err)
        err = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (!err)
        err = posix_spawn(pid, cfg->sshd, &files, &attr, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return err;
}
