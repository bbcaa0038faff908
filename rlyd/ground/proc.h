/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Processes as /proc shows them. A pid alone names nobody; pid and start time together do. A signal
 * through a pidfd may rely only on what was read while that pidfd was open.
 */
#ifndef RLYD_GROUND_PROC_H
#define RLYD_GROUND_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct proc_info {
    pid_t pid, ppid;
    uint64_t start; /* clock ticks since boot */
    char state;     /* R S D Z … */
    int exiting;    /* its end has begun */
    uid_t ruid, euid;
} proc_info;

/** Reads the process's stat and status. @return 0, or -1 with errno (ENOENT, ESRCH: it is gone) */
int proc_read(pid_t pid, proc_info *info);

/** Reads its start time only. @return 0, or -1 */
int proc_start(pid_t pid, uint64_t *start);

/** Whether it is the process with that start time, and no zombie. */
int proc_is_alive(pid_t pid, uint64_t start);

/** Whether it is alive and its end has not begun. A process that ends closes its descriptors, which
 * others notice, some time before it is a zombie. */
int proc_is_staying(pid_t pid, uint64_t start);

/** How long ago a process with that start time was started, in ms. */
int64_t proc_age_ms(uint64_t start);

/** Whether its program is sshd or a part of it (sshd-session, sshd-auth). One that an upgrade has
 * replaced counts, too.
 * @param sshd relay.conf's path of sshd */
int proc_is_sshd(pid_t pid, const char *sshd);

/** Whether its program has that name (the last part of its path). */
int proc_is_program(pid_t pid, const char *name);

/** The file that a listening sshd was told to use by -f, as its title has it.
 * @return 1 with the path; 0 when it has none, or the process is no listening sshd */
int proc_sshd_config(pid_t pid, char *path, size_t size);

/** Its children. @return how many were stored, at most max */
int proc_children(pid_t pid, pid_t *children, int max);

/** Calls fn for each descriptor of it that is a socket, until fn returns non-zero.
 * @return what fn returned last, or 0 */
int proc_each_socket(pid_t pid, int (*fn)(void *baton, int fd, uint32_t inode), void *baton);

/** Whether one of its descriptors is that socket. */
int proc_holds_socket(pid_t pid, uint32_t inode);

/** Whether one of its descriptors is a socket that listens. A descriptor that cannot be looked at
 * counts as one. */
int proc_is_listening(pid_t pid);

int proc_pidfd_open(pid_t pid);
int proc_pidfd_signal(int pidfd, int sig);
/** A copy of descriptor fd of the process. @return it, or -1 */
int proc_pidfd_getfd(int pidfd, int fd);

#endif
