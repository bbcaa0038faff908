/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What a relay makes of the sockets that the kernel names: by table, for orders of events that no
 * test can time, and for kernels that do not name the uid of what is not accepted yet. */

#include "relay_owner.h"
#include "tap.h"

#include <apr_general.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define USER 998
#define OTHER 65534

static const relay_listen_addr here = {0x7f4d0005, 10000}; /* 127.77.0.5:10000 */

/* An end of a connection, a listener just there, one on all addresses. */
#define E(u, i) \
    { \
        .listens = 0, .addr = {0x7f4d0005, 10000}, .uid = (u), .inode = (i) \
    }
#define L(u) \
    { \
        .listens = 1, .addr = {0x7f4d0005, 10000}, .uid = (u), .inode = 7 \
    }
#define W(u) \
    { \
        .listens = 1, .wildcard = 1, .addr = {0, 10000}, .uid = (u), .inode = 7 \
    }

#define IS RELAY_OWNER_USER
#define ANOTHERS RELAY_OWNER_OTHER
#define NOBODYS RELAY_OWNER_NOBODY
#define UNKNOWN RELAY_OWNER_UNKNOWN

static const struct row {
    const char *what;
    uid_t user;
    relay_owner_sight seen;
    relay_owner owner;
    uid_t found;
} rows[] = {
    {"accepted by the user", USER, {1, 1, 0, E(USER, 9), L(USER), E(0, 0)}, IS, 0},
    {"not accepted, a kernel that names the listener's user",
     USER,
     {1, 1, 0, E(USER, 0), L(USER), E(0, 0)},
     IS,
     0},
    {"not accepted, a kernel that does not; still so later",
     USER,
     {1, 1, 1, E(0, 0), L(USER), E(0, 0)},
     IS,
     0},
    {"the same, accepted by the user meanwhile",
     USER,
     {1, 1, 1, E(0, 0), L(USER), E(USER, 9)},
     IS,
     0},
    {"accepted by another, who has closed his listener for the user's",
     USER,
     {1, 1, 0, E(OTHER, 9), L(USER), E(0, 0)},
     ANOTHERS,
     OTHER},
    {"accepted by root, whose listener is the user's now",
     USER,
     {1, 1, 0, E(0, 9), L(USER), E(0, 0)},
     ANOTHERS,
     0},
    {"not accepted before, by another meanwhile, who has closed his listener for the user's",
     USER,
     {1, 1, 1, E(0, 0), L(USER), E(OTHER, 9)},
     ANOTHERS,
     OTHER},
    {"not accepted before, by root meanwhile",
     USER,
     {1, 1, 1, E(0, 0), L(USER), E(0, 9)},
     ANOTHERS,
     0},
    {"not accepted before, gone later", USER, {1, 1, 0, E(0, 0), L(USER), E(0, 0)}, NOBODYS, 0},
    {"not accepted, another's listener",
     USER,
     {1, 1, 1, E(0, 0), L(OTHER), E(0, 0)},
     ANOTHERS,
     OTHER},
    {"not accepted, root's listener", USER, {1, 1, 1, E(0, 0), L(0), E(0, 0)}, ANOTHERS, 0},
    {"not accepted, named as another's",
     USER,
     {1, 1, 1, E(OTHER, 0), L(USER), E(0, 0)},
     ANOTHERS,
     OTHER},
    {"the user's, on all addresses", USER, {1, 1, 0, E(USER, 9), W(USER), E(0, 0)}, ANOTHERS, USER},
    {"another's, on all addresses", USER, {1, 1, 1, E(0, 0), W(OTHER), E(0, 0)}, ANOTHERS, OTHER},
    {"accepted by the user, who listens no more",
     USER,
     {1, 0, 0, E(USER, 9), L(USER), E(0, 0)},
     NOBODYS,
     0},
    {"gone", USER, {0, 1, 0, E(0, 0), L(USER), E(0, 0)}, NOBODYS, 0},
    {"no word of the end", USER, {-1, 0, 0, E(0, 0), L(USER), E(0, 0)}, UNKNOWN, 0},
    {"no word of the listener", USER, {1, -1, 0, E(USER, 9), L(USER), E(0, 0)}, UNKNOWN, 0},
    {"no word of the end later", USER, {1, 1, -1, E(0, 0), L(USER), E(0, 0)}, UNKNOWN, 0},
    {"root is the user: not accepted", 0, {1, 1, 1, E(0, 0), L(0), E(0, 0)}, IS, 0},
    {"root is the user: accepted by another meanwhile",
     0,
     {1, 1, 1, E(0, 0), L(0), E(OTHER, 9)},
     ANOTHERS,
     OTHER},
};

/* ---- with this kernel's sockets */

/* Listens on `at` as a user, bound to a device or not; port 0 is chosen.
 * @return the socket, or -1 */
static int listen_as(uid_t uid, relay_listen_addr *at, const char *device)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(at->ip), .sin_port = htons(at->port)};
    socklen_t len = sizeof(sin);
    int fd, on = 1;

    if (seteuid(uid) < 0)
        return -1;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (device)
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device));
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 5) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
        close(fd);
        fd = -1;
    }
    at->port = ntohs(sin.sin_port);
    return seteuid(0) < 0 ? -1 : fd;
}

static int accept_as(uid_t uid, int listener)
{
    int fd = seteuid(uid) < 0 ? -1 : accept(listener, NULL, NULL);

    return seteuid(0) < 0 ? -1 : fd;
}

static int connect_to(relay_listen_addr at, relay_listen_addr *local)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(at.ip), .sin_port = htons(at.port)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
        perror("a visitor cannot connect");
    local->ip = ntohl(sin.sin_addr.s_addr);
    local->port = ntohs(sin.sin_port);
    return fd;
}

/* He listens while the device is away, takes a visitor in, and makes room for the device's sshd. */
static void test_change_of_hands(void)
{
    relay_listen_addr at = {0x7f4d0005, 0}, first, second;
    relay_socket found = {.uid = 0};
    int his = listen_as(OTHER, &at, NULL), early = connect_to(at, &first);
    int taken_in = accept_as(OTHER, his), sshd, late;

    ok(relay_owner_answers(at, first, USER, &found) == RELAY_OWNER_OTHER && found.uid == OTHER,
       "he listens, and has accepted");
    close(his);
    sshd = listen_as(USER, &at, NULL);
    ok(sshd >= 0 && relay_owner_listens(at, USER, &found) == RELAY_OWNER_USER,
       "the user listens there now");
    found.uid = 0;
    ok(relay_owner_answers(at, first, USER, &found) == RELAY_OWNER_OTHER && found.uid == OTHER,
       "but the visitor who was taken in before is his still");
    late = connect_to(at, &second);
    ok(relay_owner_answers(at, second, USER, &found) == RELAY_OWNER_USER,
       "the next one is the user's, not accepted yet");
    close(accept_as(USER, sshd));
    close(early);
    close(late);
    close(taken_in);
    close(sshd);
}

static void test_not_accepted(const char *device)
{
    relay_listen_addr at = {0x7f4d0005, 0}, local;
    relay_socket found = {.uid = 0};
    int his = listen_as(OTHER, &at, device), fd = connect_to(at, &local);

    ok(relay_owner_answers(at, local, USER, &found) == RELAY_OWNER_OTHER && found.uid == OTHER,
       "not accepted by another's listener%s", device ? ", bound to lo" : "");
    close(his);
    ok(relay_owner_answers(at, local, USER, &found) == RELAY_OWNER_NOBODY,
       "it ends with the listener");
    close(fd);
}

int main(void)
{
    unsigned i;

    apr_initialize();
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        relay_socket found = {.uid = 0};
        relay_owner owner = relay_owner_judge(&rows[i].seen, here, rows[i].user, &found);

        ok(owner == rows[i].owner && found.uid == rows[i].found, "%s", rows[i].what);
    }
    ok(relay_owner_can_ask(), "this kernel can be asked");
    if (geteuid() == 0) {
        test_change_of_hands();
        test_not_accepted(NULL);
        test_not_accepted("lo");
    }
    apr_terminate();
    return done_testing();
}
