/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "nodelay.h"
#include "loop.h"
#include "proc.h"
#include "sshdconf.h"
#include "transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 500

struct nodelay {
    struct event *timer;
};

typedef struct tuning {
    int pidfd, tuned;
} tuning;

static int tune(void *baton, int fd, uint32_t inode)
{
    tuning *t = baton;
    int copy = proc_pidfd_getfd(t->pidfd, fd), listening = 0, domain = 0;
    socklen_t len = sizeof(listening), dlen = sizeof(domain);

    if (copy < 0)
        return 0;
    if (getsockopt(copy, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening &&
        getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &dlen) == 0 &&
        (domain == AF_INET || domain == AF_INET6) && !transport_is_tuned(copy)) {
        transport_tune(copy);
        t->tuned++;
    }
    close(copy);
    return 0;
}

/** The pid that sshd wrote into the PidFile of its configuration. @return 0 if there is none */
static pid_t listening_sshd(const rlyd *d)
{
    char path[256], text[32] = "";
    FILE *f;
    long pid;

    if (!sshdconf_value(d->cfg->sshd_config, "PidFile", path, sizeof(path)) || path[0] != '/' ||
        !(f = fopen(path, "re")))
        return 0;
    pid = fgets(text, sizeof(text), f) ? strtol(text, NULL, 10) : 0;
    fclose(f);
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static void look(rlyd *d)
{
    pid_t pid = listening_sshd(d);
    tuning t = {.pidfd = -1};

    if (!pid || !proc_is_sshd(pid, d->cfg->sshd) || (t.pidfd = proc_pidfd_open(pid)) < 0)
        return;
    if (proc_is_sshd(pid, d->cfg->sshd))
        proc_each_socket(pid, tune, &t);
    close(t.pidfd);
    if (t.tuned)
        relay_log(RELAY_LOG_INFO,
                  "RLY444 TCP_NODELAY set on %d socket(s) of the listening sshd, process %d",
                  t.tuned, (int)pid);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    rlyd *d = arg;

    look(d);
    timer_arm(d->nodelay->timer, LOOK_MS);
}

void nodelay_init(rlyd *d)
{
    d->nodelay = apr_pcalloc(d->pool, sizeof(*d->nodelay));
    d->nodelay->timer = timer_new(d, on_timer, d);
    timer_arm(d->nodelay->timer, 0);
}
