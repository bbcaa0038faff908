/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Pids that come again: rlyd signals, and takes listeners from, a session's own processes only
 * (rlyd/session/ending.c, release.c). In a pid namespace of its own this program gives the pid of a
 * session's process to another one, which looks like it but for one property, and asks them to end
 * the session.
 *
 * usage: identity DIR   (as root; t/identity.t). DIR holds copies of this program named `sshd` and
 * `other`: they are the processes, run as `PROGRAM role…`.
 */

#include "ground/loop.h"
#include "session/ending.h"
#include "session/listeners.h"
#include "session/release.h"
#include "../unit/tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TUNNEL_UID 1234
#define OTHER_UID 4321
#define TICK_US 30000 /* start times are counted in hundredths of a second */

static char sshd[256], other[256];
static relay_config config;
static rlyd daemon_;

/* ---- what these files call of the rest of rlyd */

static uint32_t held; /* the inode of the listener that the session holds */

int listeners_is_held(const session *s, uint32_t inode)
{
    return inode == held;
}

void session_gone(session *s)
{
    s->state = SESSION_ENDING;
}

struct event *timer_new(rlyd *d, event_callback_fn fn, void *arg)
{
    return NULL;
}

void timer_free(struct event *timer)
{
}

void timer_arm(struct event *timer, int64_t ms)
{
}

int64_t now_ms(void)
{
    return 1;
}

/* ---- between the look at a descriptor and the copy that is made of it the process may have put
 * another one in its place */

static pid_t swaps; /* SIGUSR1 makes this process do so */

int __real_proc_pidfd_getfd(int pidfd, int fd);
int __wrap_proc_pidfd_getfd(int pidfd, int fd);

int __wrap_proc_pidfd_getfd(int pidfd, int fd)
{
    int i;

    if (swaps)
        kill(swaps, SIGUSR1);
    for (i = 0; swaps && i < 200 && proc_holds_socket(swaps, held); i++)
        usleep(5000);
    return __real_proc_pidfd_getfd(pidfd, fd);
}

/* ---- the processes */

static int listener = -1, second = -1;

static void swap(int sig)
{
    dup2(second, listener);
}

static int make_listener(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 5) < 0)
        _exit(3);
    return fd;
}

/* A process: takes a uid, listens, and waits. roles: uid=N, listen, listen-swap */
static int be_process(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "listen") == 0)
            listener = make_listener();
        else if (strcmp(argv[i], "listen-swap") == 0) {
            listener = make_listener();
            second = make_listener();
            signal(SIGUSR1, swap);
        }
        else if (strncmp(argv[i], "uid=", 4) == 0) {
            uid_t uid = (uid_t)atoi(argv[i] + 4);

            if (setresuid(uid, uid, uid) < 0)
                return 4;
        }
    }
    if (write(1, "x", 1) != 1)
        return 5;
    for (;;)
        pause();
}

static void set_next_pid(pid_t pid)
{
    char text[16];
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    int len = snprintf(text, sizeof(text), "%d", (int)pid - 1);

    if (fd < 0 || write(fd, text, (size_t)len) != len) {
        perror("ns_last_pid");
        exit(1);
    }
    close(fd);
}

/* Starts `program role…` and waits until it is ready. @param pid that it shall have; 0: any */
static pid_t start(const char *program, const char *role, const char *uid, pid_t pid)
{
    int ready[2];
    char byte;
    pid_t child;

    if (pipe2(ready, O_CLOEXEC) < 0)
        exit(1);
    usleep(TICK_US);
    if (pid)
        set_next_pid(pid);
    if ((child = fork()) == 0) {
        dup2(ready[1], 1);
        execl(program, program, role, uid, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1 || (pid && child != pid)) {
        printf("# %s %s: no process with the pid %d\n", program, role, (int)pid);
        exit(1);
    }
    close(ready[0]);
    return child;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Whether a process was ended by a signal just now; it is reaped in any case. */
static int was_ended(pid_t pid)
{
    int i;

    for (i = 0; i < 20; i++) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return 1;
        usleep(5000);
    }
    end(pid);
    return 0;
}

/* ---- the cases */

static session make_session(pid_t monitor, pid_t child)
{
    session s;

    memset(&s, 0, sizeof(s));
    s.d = &daemon_;
    s.state = SESSION_PROVED;
    s.pidfd = -1;
    s.uid = TUNNEL_UID;
    s.monitor = monitor;
    s.child = child;
    strcpy(s.tunnel, "identity");
    if (monitor)
        proc_start(monitor, &s.monitor_start);
    if (child)
        proc_start(child, &s.child_start);
    return s;
}

static void test_monitor(void)
{
    pid_t pid = start(sshd, "monitor", "uid=0", 0);
    session s = make_session(pid, 0);

    ok(ending_signal(&s, SIGTERM) == 1, "a session's monitor is counted");
    ok(was_ended(pid), "and gets the signal");

    pid = start(sshd, "monitor", "uid=0", 0);
    s = make_session(pid, 0);
    end(pid);
    ok(start(sshd, "monitor", "uid=0", pid) == pid, "another session's monitor has its pid now");
    ok(ending_signal(&s, SIGTERM) == 0, "start time: it is not taken for the one that is gone");
    ok(!was_ended(pid), "start time: and gets no signal");

    pid = start(sshd, "monitor", "uid=4321", 0);
    s = make_session(pid, 0);
    ok(ending_signal(&s, SIGTERM) == 0, "uid: a process that is not root's is no monitor");
    ok(!was_ended(pid), "uid: and gets no signal");

    pid = start(other, "monitor", "uid=0", 0);
    s = make_session(pid, 0);
    ok(ending_signal(&s, SIGTERM) == 0, "program: a process that is no sshd is no monitor");
    ok(!was_ended(pid), "program: and gets no signal");
}

/* The session's child while its monitor lives: this process stands for the monitor, it is the
 * parent of all. */
static void test_child(void)
{
    pid_t self = getpid(), pid = start(sshd, "child", "uid=1234", 0), stranger, outside;
    session s = make_session(self, pid);

    s.monitor_start = 0; /* this program is no sshd; only the child is asked about */
    ok(ending_signal(&s, SIGTERM) == 1, "a session's child is counted");
    ok(was_ended(pid), "and gets the signal");

    stranger = start(sshd, "monitor", "uid=0",
                     0); /* of another parent, below: the monitor that the record names */
    pid = start(sshd, "child", "uid=1234", 0);
    s = make_session(stranger, pid);
    s.monitor_start = 0;
    s.child_start++;
    ok(ending_signal(&s, SIGTERM) == 0,
       "start time: a child's pid that has come again is not the session's");
    s.child_start--;
    s.uid = OTHER_UID;
    ok(ending_signal(&s, SIGTERM) == 0, "uid: a child with another uid is not the session's");
    s.uid = TUNNEL_UID;
    proc_start(stranger, &s.monitor_start);
    outside = s.monitor;
    ok(kill(outside, 0) == 0 && ending_signal(&s, 0) == 1,
       "parent: while its monitor lives a child of another process is not the session's, the "
       "monitor is");
    ok(!was_ended(pid), "it got no signal");
    end(stranger);

    pid = start(other, "child", "uid=1234", 0);
    s = make_session(self, pid);
    s.monitor_start = 0;
    ok(ending_signal(&s, SIGTERM) == 0, "program: a child that is no sshd is not the session's");
    ok(!was_ended(pid), "program: and gets no signal");
}

/* The sockets that a process listens on, as many as fit. */
typedef struct sockets {
    int n;
    uint32_t inode[4];
} sockets;

static int note_socket(void *baton, int fd, uint32_t inode)
{
    sockets *found = baton;

    if (found->n < 4)
        found->inode[found->n++] = inode;
    return 0;
}

static int is_listening(pid_t pid)
{
    return proc_is_listening(pid);
}

static void test_release(void)
{
    sockets found = {0};
    pid_t pid = start(sshd, "listen", "uid=1234", 0);
    session s = make_session(getpid(), pid);

    s.listeners.count = 1;
    proc_each_socket(pid, note_socket, &found);
    ok(found.n == 1 && is_listening(pid), "a session's child listens");
    held = found.inode[0] + 1;
    release_listeners(&s);
    ok(is_listening(pid), "a listener that is not among the session's is left alone");
    held = found.inode[0];
    release_listeners(&s);
    ok(!is_listening(pid), "one that is the session's is taken away");
    end(pid);

    found.n = 0;
    pid = start(sshd, "listen-swap", "uid=1234", 0);
    s = make_session(getpid(), pid);
    s.listeners.count = 1;
    proc_each_socket(pid, note_socket, &found);
    held = found.inode[0];
    swaps = pid;
    release_listeners(&s);
    swaps = 0;
    ok(found.n == 2 && is_listening(pid),
       "inode: a socket that took the descriptor's place goes on listening");
    end(pid);
}

static void test_release_of_another(void)
{
    sockets found = {0};
    pid_t pid = start(sshd, "child", "uid=1234", 0);
    session s = make_session(0, pid);

    s.monitor = s.child; /* its monitor has died */
    s.monitor_start = s.child_start;
    s.listeners.count = 1;
    end(pid);
    ok(start(sshd, "listen", "uid=1234", pid) == pid,
       "another session's child has its pid now, and listens");
    proc_each_socket(pid, note_socket, &found);
    held = found.inode[0];
    release_listeners(&s);
    ok(is_listening(pid), "start time: its listener is left alone");
    ok(ending_signal(&s, SIGTERM) == 0 && !was_ended(pid), "start time: and it gets no signal");
}

static int run(void)
{
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0) {
        perror("mount /proc");
        return 1;
    }
    config.sshd = sshd;
    daemon_.cfg = &config;
    test_monitor();
    test_child();
    test_release();
    test_release_of_another();
    return done_testing();
}

int main(int argc, char **argv)
{
    int status = 0;
    pid_t first;

    if (strcmp(argv[0] + strlen(argv[0]) - 8, "identity") != 0)
        return be_process(argc, argv);
    if (argc != 2)
        return 2;
    snprintf(sshd, sizeof(sshd), "%s/sshd", argv[1]);
    snprintf(other, sizeof(other), "%s/other", argv[1]);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
        perror("unshare");
        return 1;
    }
    fflush(stdout);
    if ((first = fork()) == 0)
        _exit(run());
    waitpid(first, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
