/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_owner.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static relay_owner judge_listener(int there, const relay_socket *s, relay_listen_addr listen,
                                  uid_t user, relay_socket *found)
{
    if (there != 1)
        return there ? RELAY_OWNER_UNKNOWN : RELAY_OWNER_NOBODY;
    if (s->uid == user && s->addr.ip == listen.ip)
        return RELAY_OWNER_USER;
    *found = *s;
    return RELAY_OWNER_OTHER;
}

/* The uid of an end that was not accepted yet can be 0 for want of a better one. */
static int is_known(const relay_socket *end)
{
    return end->inode || end->uid;
}

relay_owner relay_owner_judge(const relay_owner_sight *seen, relay_listen_addr listen, uid_t user,
                              relay_socket *found)
{
    relay_owner owner;

    if (seen->end != 1)
        return seen->end ? RELAY_OWNER_UNKNOWN : RELAY_OWNER_NOBODY;
    if (is_known(&seen->the_end) && seen->the_end.uid != user) {
        *found = seen->the_end;
        found->wildcard = seen->listens == 1 && seen->listener.wildcard;
        return RELAY_OWNER_OTHER;
    }
    /* The end's address is the same when it came by a listener on all addresses. */
    owner = judge_listener(seen->listens, &seen->listener, listen, user, found);
    if (owner != RELAY_OWNER_USER || is_known(&seen->the_end))
        return owner;
    /*
     * Not accepted before: it belongs to a listener that lived then. If it is still so the listener
     * lives still, and is the one that was found in between: the kernel allows one only. If it was
     * accepted meanwhile it says by whom.
     */
    if (seen->again != 1)
        return seen->again ? RELAY_OWNER_UNKNOWN : RELAY_OWNER_NOBODY;
    if (!is_known(&seen->the_end_again) || seen->the_end_again.uid == user)
        return RELAY_OWNER_USER;
    *found = seen->the_end_again;
    return RELAY_OWNER_OTHER;
}

relay_owner relay_owner_answers(relay_listen_addr listen, relay_listen_addr local, uid_t user,
                                relay_socket *found)
{
    relay_owner_sight seen = {.end = -1};
    int nl = relay_sockdiag_open(), error;
    relay_owner owner;

    if (nl < 0)
        return RELAY_OWNER_UNKNOWN;
    seen.end = relay_sockdiag_end(nl, listen, local, &seen.the_end);
    if (seen.end == 1)
        seen.listens = relay_sockdiag_listener(nl, listen, &seen.listener);
    if (seen.end == 1 && seen.listens == 1 && !is_known(&seen.the_end))
        seen.again = relay_sockdiag_end(nl, listen, local, &seen.the_end_again);
    error = errno;
    close(nl);
    owner = relay_owner_judge(&seen, listen, user, found);
    errno = error;
    return owner;
}

relay_owner relay_owner_listens(relay_listen_addr listen, uid_t user, relay_socket *found)
{
    int nl = relay_sockdiag_open(), there, error;
    relay_socket s;

    if (nl < 0)
        return RELAY_OWNER_UNKNOWN;
    there = relay_sockdiag_listener(nl, listen, &s);
    error = errno;
    close(nl);
    errno = error;
    return judge_listener(there, &s, listen, user, found);
}

int relay_owner_can_ask(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), can = 0, error;
    relay_listen_addr own = {INADDR_LOOPBACK, 0};
    relay_socket found;

    if (fd < 0)
        return 0;
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&sin, &len) == 0) {
        own.port = ntohs(sin.sin_port);
        switch (relay_owner_listens(own, geteuid(), &found)) {
        case RELAY_OWNER_USER:
            can = 1;
            break;
        case RELAY_OWNER_UNKNOWN:
            break;
        default: /* it does not know tcp_diag, or says nonsense */
            errno = EPROTONOSUPPORT;
        }
    }
    error = errno;
    close(fd);
    errno = error;
    return can;
}

static void add_wildcard(void *baton, const relay_socket *s)
{
    apr_array_header_t *words = baton;

    if (s->wildcard && words->nelts < RELAY_OWNER_TAKEN_MAX)
        APR_ARRAY_PUSH(words, const char *) = apr_psprintf(words->pool, "*:%u", s->addr.port);
}

const char *relay_owner_taken(const relay_listen_space *space, apr_pool_t *p)
{
    apr_array_header_t *words = apr_array_make(p, 8, sizeof(const char *));
    int nl = relay_sockdiag_open();

    if (nl >= 0) {
        relay_sockdiag_dump(nl, space, add_wildcard, words);
        close(nl);
    }
    return apr_array_pstrcat(p, words, ' ');
}
