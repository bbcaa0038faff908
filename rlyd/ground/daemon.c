/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_fd = -1;

apr_status_t daemon_start(apr_pool_t *p, const char **why)
{
    int ends[2], null;
    char byte;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        RELAY_WHY(why, p, "cannot go to the background: %s", strerror(errno));
        return APR_EGENERAL;
    }
    if (pid > 0) {
        close(ends[1]);
        if (read(ends[0], &byte, 1) == 1)
            _exit(0);
        /* Its end of the pipe may close before the pid file does, and a second attempt would find
         * the file locked. */
        waitpid(pid, NULL, 0);
        _exit(1);
    }
    close(ends[0]);
    ready_fd = ends[1];
    setsid();
    if ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    return APR_SUCCESS;
}

void daemon_is_ready(void)
{
    if (ready_fd < 0)
        return;
    if (write(ready_fd, "", 1) < 0) {
        /* The process that waited has gone. */
    }
    close(ready_fd);
    ready_fd = -1;
    /* Start-up errors went there; from now on the log is syslog's. */
    dup2(STDOUT_FILENO, STDERR_FILENO);
}

apr_status_t daemon_pidfile(const char *path, apr_pool_t *p, const char **why)
{
    char text[32];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    ssize_t len;

    if (fd < 0) {
        RELAY_WHY(why, p, "[rlyd] pid-file %s: cannot be opened: %s", path, strerror(errno));
        return APR_EGENERAL;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        RELAY_WHY(why, p, "[rlyd] pid-file %s is locked: another rlyd runs with this configuration",
                  path);
        close(fd);
        return APR_EGENERAL;
    }
    len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)len) != len) {
        RELAY_WHY(why, p, "[rlyd] pid-file %s: cannot be written: %s", path, strerror(errno));
        close(fd);
        return APR_EGENERAL;
    }
    return APR_SUCCESS; /* stays open: closing it would give up the lock */
}

void daemon_pidfile_remove(const char *path)
{
    unlink(path);
}

int daemon_is_scarce(int fd)
{
    struct rlimit files;

    return getrlimit(RLIMIT_NOFILE, &files) == 0 && (rlim_t)fd + DAEMON_RESERVE >= files.rlim_cur;
}

void daemon_raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}
