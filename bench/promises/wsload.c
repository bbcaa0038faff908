/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * WebSocket echo at both ends, for ws.py, in C so that neither end is what is measured:
 *
 *   wsload serve PORT                                a device that echoes, on 127.0.0.1
 *   wsload run ADDRESS PORT HOST COUNT SECONDS SIZE  COUNT sockets over TLS; each sends a message
 *                                                    when its last one has come back. Prints:
 *                                                    messages seconds p50-us p99-us
 *
 * Messages are shorter than 126 bytes, so that a frame's head has one form. ws.py compiles this,
 * with OpenSSL.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SIZE_MAX_WS 125
#define SAMPLES_MAX 4000000

typedef struct conn {
    int fd, open; /* open: the handshake is over */
    SSL *ssl;     /* NULL: the device's end */
    size_t len;
    unsigned char buf[8192];
    double sent;
} conn;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* All or nothing: what is sent here always fits into the socket's buffer. */
static int put(conn *c, const void *data, size_t len)
{
    return c->ssl ? SSL_write(c->ssl, data, (int)len) == (int)len
                  : send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Reads what is there; 0 when the peer has gone. */
static int fill(conn *c)
{
    ssize_t n;

    if (c->ssl) {
        n = SSL_read(c->ssl, c->buf + c->len, (int)(sizeof(c->buf) - c->len));
        if (n <= 0)
            return SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ;
    }
    else {
        n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
    }
    c->len += (size_t)n;
    return 1;
}

static void take(conn *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->len - n);
    c->len -= n;
}

/* ---- the device */

static int upgrade(conn *c)
{
    unsigned char digest[20], text[64], *key, *end;
    char concat[128], answer[512];

    if (!memmem(c->buf, c->len, "\r\n\r\n", 4))
        return 1;
    c->buf[c->len < sizeof(c->buf) ? c->len : sizeof(c->buf) - 1] = '\0';
    if ((key = (unsigned char *)strcasestr((char *)c->buf, "\r\nSec-WebSocket-Key: ")) == NULL)
        return 0;
    key += strlen("\r\nSec-WebSocket-Key: ");
    if ((end = (unsigned char *)strstr((char *)key, "\r\n")) == NULL || end - key > 60)
        return 0;
    snprintf(concat, sizeof(concat), "%.*s%s", (int)(end - key), key, GUID);
    EVP_Digest(concat, strlen(concat), digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock(text, digest, sizeof(digest));
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             text);
    c->len = 0;
    c->open = 1;
    return put(c, answer, strlen(answer));
}

static int echo(conn *c)
{
    while (c->len >= 6 && c->len >= 6 + (size_t)(c->buf[1] & 127)) {
        unsigned char frame[2 + SIZE_MAX_WS];
        size_t n = c->buf[1] & 127, i;

        if (n > SIZE_MAX_WS || (c->buf[0] & 15) == 8)
            return 0;
        frame[0] = c->buf[0];
        frame[1] = (unsigned char)n;
        for (i = 0; i < n; i++)
            frame[2 + i] = c->buf[6 + i] ^ c->buf[2 + i % 4];
        if (!put(c, frame, n + 2))
            return 0;
        take(c, 6 + n);
    }
    return 1;
}

static void serve(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, ep = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    struct epoll_event ev = {.events = EPOLLIN}, evs[256];

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1024) < 0)
        die("bind");
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int i, n = epoll_wait(ep, evs, 256, -1);

        for (i = 0; i < n; i++) {
            conn *c = evs[i].data.ptr;

            if (!c) {
                c = calloc(1, sizeof(*c));
                if (!c || (c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
                    die("accept");
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                ev.data.ptr = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
            }
            else if (!fill(c) || !(c->open ? echo(c) : upgrade(c))) {
                close(c->fd);
                free(c);
            }
        }
    }
}

/* ---- the visitors */

static void message(conn *c, size_t size)
{
    unsigned char frame[6 + SIZE_MAX_WS] = {0x82, (unsigned char)(0x80 | size)};

    memset(frame + 6, 'x', size); /* the mask is 0 */
    c->sent = now();
    if (!put(c, frame, 6 + size))
        die("send");
}

static conn *visit(SSL_CTX *ctx, const char *address, int port, const char *host)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char ask[1024];
    conn *c = calloc(1, sizeof(*c));
    int on = 1;

    inet_pton(AF_INET, address, &at.sin_addr);
    if (!c || (c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0 ||
        connect(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, host);
    if (SSL_connect(c->ssl) != 1)
        die("TLS");
    snprintf(ask, sizeof(ask),
             "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
             host);
    put(c, ask, strlen(ask));
    while (!memmem(c->buf, c->len, "\r\n\r\n", 4))
        if (!fill(c))
            die("no answer to the upgrade");
    if (strncmp((char *)c->buf, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "%.*s\n", (int)c->len, c->buf);
        exit(1);
    }
    c->len = 0;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

static int compare(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

static void run(char **argv)
{
    int port = atoi(argv[1]), count = atoi(argv[3]), ep = epoll_create1(0), i;
    double seconds = atof(argv[4]), began, end;
    size_t size = (size_t)atoi(argv[5]), done = 0;
    float *took = malloc(SAMPLES_MAX * sizeof(*took));
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    conn **all = calloc((size_t)count, sizeof(*all));
    struct epoll_event evs[256];

    if (size > SIZE_MAX_WS || !took || !all)
        exit(2);
    for (i = 0; i < count; i++) {
        struct epoll_event ev = {.events = EPOLLIN};

        ev.data.ptr = all[i] = visit(ctx, argv[0], port, argv[2]);
        epoll_ctl(ep, EPOLL_CTL_ADD, all[i]->fd, &ev);
    }
    began = now();
    for (i = 0; i < count; i++)
        message(all[i], size);
    while ((end = now()) - began < seconds) {
        int n = epoll_wait(ep, evs, 256, 1000);

        for (i = 0; i < n; i++) {
            conn *c = evs[i].data.ptr;

            do {
                if (!fill(c))
                    die("a socket was closed");
                while (c->len >= 2 + size) {
                    if (done < SAMPLES_MAX)
                        took[done] = (float)(now() - c->sent);
                    done++;
                    take(c, 2 + size);
                    message(c, size);
                }
            } while (SSL_pending(c->ssl));
        }
    }
    i = (int)(done < SAMPLES_MAX ? done : SAMPLES_MAX);
    qsort(took, (size_t)i, sizeof(*took), compare);
    printf("%zu %.6f %.1f %.1f\n", done, end - began, i ? took[i / 2] * 1e6 : 0,
           i ? took[(size_t)i * 99 / 100] * 1e6 : 0);
    free(all);
    free(took);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(atoi(argv[2]));
    else if (argc == 8 && strcmp(argv[1], "run") == 0)
        run(argv + 2);
    else
        return 2;
    return 0;
}
