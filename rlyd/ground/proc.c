/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/** Reads a small file of /proc whole. @return its length, or -1 */
static ssize_t slurp(pid_t pid, const char *name, char *buf, size_t size)
{
    char path[64];
    ssize_t n, len = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return -1;
    while ((size_t)len < size - 1 && (n = read(fd, buf + len, size - 1 - (size_t)len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            len = -1;
            break;
        }
        len += n;
    }
    close(fd);
    if (len >= 0)
        buf[len] = '\0';
    return len;
}

/* From the kernel's own <linux/sched.h>, which programs do not get: the process is in do_exit(). */
#define PF_EXITING 0x4

/** Fields 3 (state), 4 (ppid), 9 (flags) and 22 (start time) of /proc/PID/stat; field 2, the name,
 * may hold anything. */
static int read_stat(pid_t pid, proc_info *info)
{
    char buf[1024], *at;
    int field;

    if (slurp(pid, "stat", buf, sizeof(buf)) <= 0)
        return -1;
    at = strrchr(buf, ')');
    if (!at || at[1] != ' ' || !at[2]) {
        errno = EPROTO;
        return -1;
    }
    at += 2;
    info->state = *at;
    for (field = 3; field < 22; field++) {
        if (!(at = strchr(at, ' '))) {
            errno = EPROTO;
            return -1;
        }
        at++;
        if (field == 3)
            info->ppid = (pid_t)strtol(at, NULL, 10);
        else if (field == 8)
            info->exiting = (strtoul(at, NULL, 10) & PF_EXITING) != 0;
    }
    info->start = strtoull(at, NULL, 10);
    return 0;
}

int proc_read(pid_t pid, proc_info *info)
{
    char buf[4096], *uid;
    unsigned ruid, euid;
    proc_info found = {.pid = pid};

    if (read_stat(pid, &found) < 0 || slurp(pid, "status", buf, sizeof(buf)) <= 0)
        return -1;
    uid = strstr(buf, "\nUid:");
    if (!uid || sscanf(uid + 5, "%u %u", &ruid, &euid) != 2) {
        errno = EPROTO;
        return -1;
    }
    found.ruid = ruid;
    found.euid = euid;
    *info = found;
    return 0;
}

int proc_start(pid_t pid, uint64_t *start)
{
    proc_info info;

    if (read_stat(pid, &info) < 0)
        return -1;
    *start = info.start;
    return 0;
}

int proc_is_alive(pid_t pid, uint64_t start)
{
    proc_info info;

    return pid > 0 && read_stat(pid, &info) == 0 && info.start == start && info.state != 'Z' &&
           info.state != 'X';
}

int proc_is_staying(pid_t pid, uint64_t start)
{
    proc_info info;

    return pid > 0 && read_stat(pid, &info) == 0 && info.start == start && !info.exiting;
}

int64_t proc_age_ms(uint64_t start)
{
    struct timespec boot;
    int64_t hz = sysconf(_SC_CLK_TCK);

    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000 - (int64_t)start * 1000 / hz;
}

/** The last part of its program's path. @return 0 when it cannot be read */
static int program_of(pid_t pid, char *name, size_t size)
{
    static const char deleted[] = " (deleted)";
    char path[64], exe[PATH_MAX];
    const char *base;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    if ((n = readlink(path, exe, sizeof(exe) - 1)) <= 0)
        return 0;
    exe[n] = '\0';
    /* The program runs on after its package was upgraded. */
    if ((size_t)n > sizeof(deleted) && strcmp(exe + n - (sizeof(deleted) - 1), deleted) == 0)
        exe[(size_t)n - (sizeof(deleted) - 1)] = '\0';
    base = strrchr(exe, '/');
    return snprintf(name, size, "%s", base ? base + 1 : exe) < (int)size;
}

int proc_is_program(pid_t pid, const char *name)
{
    char own[NAME_MAX + 1];

    return program_of(pid, own, sizeof(own)) && strcmp(own, name) == 0;
}

int proc_is_sshd(pid_t pid, const char *sshd)
{
    const char *own = strrchr(sshd, '/');
    char name[NAME_MAX + 1];

    if (!program_of(pid, name, sizeof(name)))
        return 0;
    return strcmp(name, own ? own + 1 : sshd) == 0 || strcmp(name, "sshd") == 0 ||
           strcmp(name, "sshd-session") == 0 || strcmp(name, "sshd-auth") == 0;
}

int proc_sshd_config(pid_t pid, char *path, size_t size)
{
    char line[4096], *at;
    ssize_t n = slurp(pid, "cmdline", line, sizeof(line)), i;

    /* `sshd: /usr/sbin/sshd -D -f FILE [listener] …`, one string where sshd has set its title. */
    for (i = 0; i < n; i++)
        if (!line[i])
            line[i] = ' ';
    if (n <= 0 || !(at = strstr(line, " -f ")))
        return 0;
    at += 4;
    at[strcspn(at, " ")] = '\0';
    return *at && snprintf(path, size, "%s", at) < (int)size;
}

int proc_children(pid_t pid, pid_t *children, int max)
{
    char name[32], buf[1024], *at = buf, *end;
    int n = 0;

    snprintf(name, sizeof(name), "task/%d/children", (int)pid);
    if (slurp(pid, name, buf, sizeof(buf)) <= 0)
        return 0;
    while (n < max) {
        long child = strtol(at, &end, 10);

        if (end == at || child <= 0)
            break;
        children[n++] = (pid_t)child;
        at = end;
    }
    return n;
}

int proc_each_socket(pid_t pid, int (*fn)(void *baton, int fd, uint32_t inode), void *baton)
{
    char path[64], target[64];
    struct dirent *entry;
    int rc = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    if (!(dir = opendir(path)))
        return 0;
    while (rc == 0 && (entry = readdir(dir))) {
        unsigned inode;
        ssize_t n;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (sscanf(target, "socket:[%u]", &inode) == 1)
            rc = fn(baton, atoi(entry->d_name), inode);
    }
    closedir(dir);
    return rc;
}

static int is_inode(void *baton, int fd, uint32_t inode)
{
    return *(uint32_t *)baton == inode;
}

int proc_holds_socket(pid_t pid, uint32_t inode)
{
    return proc_each_socket(pid, is_inode, &inode);
}

static int is_listening(void *baton, int fd, uint32_t inode)
{
    int copy = proc_pidfd_getfd(*(int *)baton, fd), listens = 0;
    socklen_t size = sizeof(listens);

    if (copy < 0)
        return errno != EBADF; /* EBADF: closed meanwhile; else it may listen */
    if (getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
        listens = 1;
    close(copy);
    return listens;
}

int proc_is_listening(pid_t pid)
{
    int pidfd = proc_pidfd_open(pid), listens;

    if (pidfd < 0)
        return 1;
    listens = proc_each_socket(pid, is_listening, &pidfd);
    close(pidfd);
    return listens;
}

int proc_pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* always close-on-exec */
}

int proc_pidfd_signal(int pidfd, int sig)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

int proc_pidfd_getfd(int pidfd, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0); /* always close-on-exec */
}
