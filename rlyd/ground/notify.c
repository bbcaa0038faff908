/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un target;
static socklen_t target_len;
static int64_t watchdog_ms;

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");

    if (path && (*path == '/' || *path == '@') && path[1] &&
        strlen(path) < sizeof(target.sun_path)) {
        target.sun_family = AF_UNIX;
        memcpy(target.sun_path, path, strlen(path));
        target_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (*path == '@')
            target.sun_path[0] = '\0'; /* an abstract socket */
    }
    if (usec)
        watchdog_ms = strtoll(usec, NULL, 10) / 1000;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_send(const char *state)
{
    int fd;

    if (!target_len || (fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&target, target_len) <
        0) {
        /* Nobody listens, so nobody can be told. */
    }
    close(fd);
}

void notify_ready(const char *status)
{
    char text[256];

    snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
    notify_send(text);
}

int64_t notify_watchdog_ms(void)
{
    return watchdog_ms > 2 ? watchdog_ms / 2 : 0;
}
