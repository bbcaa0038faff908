/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "release.h"
#include "ending.h"
#include "listeners.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct releasing {
    session *s;
    int pidfd;
} releasing;

static int release_one(void *baton, int fd, uint32_t inode)
{
    releasing *r = baton;
    struct stat st;
    int copy;

    if (!listeners_is_held(r->s, inode) || (copy = proc_pidfd_getfd(r->pidfd, fd)) < 0)
        return 0;
    /* A listener that is shut down leaves the kernel's table at once (tcp_set_state()), whoever
     * still has it open. */
    if (fstat(copy, &st) == 0 && st.st_ino == inode)
        shutdown(copy, SHUT_RDWR);
    close(copy);
    return 0;
}

void release_listeners(session *s)
{
    releasing r = {.s = s};

    if (!s->listeners.count || (r.pidfd = ending_open_child(s)) < 0)
        return;
    proc_each_socket(s->child, release_one, &r);
    close(r.pidfd);
}
