/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

int spawn_merge_pages(void)
{
    return prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
}

/* sshd gets nothing of our environment, above all no NOTIFY_SOCKET, which Debian's sshd would
 * answer. */
static char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            NULL};

/* Debian's; the path is compiled into sshd. Another sshd's own complaint says which it is:
 * spawn_learn_directory(). */
static char directory[256] = "/run/sshd";

void spawn_make_directory(void)
{
    if (mkdir(directory, 0755) < 0 && errno != EEXIST && errno != ENOENT)
        relay_log(RELAY_LOG_DEBUG, "RLY464 cannot make %s: %s", directory, strerror(errno));
}

int spawn_learn_directory(const char *said)
{
    static const char complaint[] = "Missing privilege separation directory: ";
    const char *at = strstr(said, complaint);
    size_t len;

    if (!at)
        return 0;
    at += sizeof(complaint) - 1;
    len = strcspn(at, "\r\n");
    if (len >= sizeof(directory) || strncmp(at, "/run/", 5) != 0 || memmem(at, len, "/..", 3))
        return 0;
    memcpy(directory, at, len);
    directory[len] = '\0';
    return mkdir(directory, 0755) == 0;
}

static int spawn(const char *program, char *const *argv, posix_spawn_file_actions_t *files,
                 pid_t *pid)
{
    posix_spawnattr_t attr;
    sigset_t all, none;
    int err;

    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    err = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    if (!err)
        err = posix_spawn(pid, program, files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    return err;
}

int spawn_sshd_test(const relay_config *cfg, int *said, pid_t *pid)
{
    char *const argv[] = {(char *)cfg->sshd, "-t", "-f", (char *)cfg->sshd_config, NULL};
    posix_spawn_file_actions_t files;
    int ends[2], err;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return errno;
    posix_spawn_file_actions_init(&files);
    err = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, ends[1], STDERR_FILENO);
    if (!err)
        err = spawn(cfg->sshd, argv, &files, pid);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (err)
        close(ends[0]);
    else
        *said = ends[0];
    return err;
}

int spawn_become_sshd(const relay_config *cfg, int fd, int keep)
{
    char *argv[] = {(char *)cfg->sshd, "-i", "-f", (char *)cfg->sshd_config, NULL, NULL, NULL};
    int null, flags = fcntl(fd, F_GETFL);
    sigset_t none;

    if (cfg->sshd_log) {
        argv[4] = "-E";
        argv[5] = (char *)cfg->sshd_log;
    }
    /* A connection that httpd accepted is non-blocking; sshd expects to set that itself. */
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return errno;
    spawn_make_directory();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if ((null = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0 || dup2(fd, STDIN_FILENO) < 0 ||
        dup2(fd, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 ||
        (keep > STDERR_FILENO + 1 && close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0) < 0) ||
        close_range((unsigned)keep + 1, ~0U, 0) < 0)
        return errno;
    execve(cfg->sshd, argv, env);
    return errno;
}
