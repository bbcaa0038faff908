/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Redis's side of the connection, where the answers are what is being fuzzed. librelay is linked
 * with -Wl,--wrap of hiredis's connecting functions: it gets a real hiredis connection, over a
 * socket pair at whose other end the input already waits, with the end of the stream behind it. No
 * thread, no waiting, the same every time.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *says;
static size_t says_size;

redisContext *__wrap_redisConnectUnixWithTimeout(const char *path, const struct timeval tv);
redisContext *__wrap_redisConnectNonBlock(const char *ip, int port);

void fuzz_redis_says(const char *bytes, size_t size)
{
    says = bytes;
    says_size = size;
}

static redisContext *new_connection(void)
{
    static int other =
        -1; /* the last connection's far end: it has to stay open while the near one writes */
    int pair[2];

    if (other >= 0)
        close(other);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    MUST(send(pair[1], says, says_size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)says_size ||
         !says_size);
    shutdown(pair[1], SHUT_WR);
    other = pair[1];
    return redisConnectFd(pair[0]);
}

redisContext *__wrap_redisConnectUnixWithTimeout(const char *path, const struct timeval tv)
{
    return new_connection();
}

redisContext *__wrap_redisConnectNonBlock(const char *ip, int port)
{
    redisContext *c = new_connection();

    c->flags &= ~REDIS_BLOCK;
    MUST(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    return c;
}
