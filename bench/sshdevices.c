/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Many devices in one process, for sshdevices.py. Stock ssh takes four times the CPU of sshd's side
 * of a login, mostly for its own key exchange. On a machine that clients and server share it is the
 * clients that would be measured. libssh's curve25519 takes next to none.
 *
 *   sshdevices HOST PORT USER AT-ONCE [again]
 *
 * reads from stdin:
 *   ADDRESS PORT KEYFILE   a device logs in as a bundle does, and asks for that listen address
 *   go                     prints `done N` when all devices so far have come up, N of them, or have
 *                          failed five times
 *   tries                  prints `tries N`: how many connections were made so far
 * and ends with it. At most AT-ONCE log in at the same time. With `again` a device whose session
 * has ended logs in again at once; where nobody listens, each 100 ms. A device answers each
 * connection through its tunnel with 200.
 */
#include <errno.h>
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK ((size_t)256 * 1024)
#define TRIES_MAX 5
#define ALIVE_INTERVAL 27 /* s, a bundle's ServerAliveInterval */
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"

typedef struct device {
    char address[64];
    int port;
    ssh_key key;
} device;

static const char *host, *user;
static int ssh_port, again;
static sem_t gate;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int settled, up; /* devices that came up or gave up; that are up */
static long tries;

static void count(int *what, int by)
{
    pthread_mutex_lock(&lock);
    *what += by;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- a connection through the tunnel */

/* A request comes in one piece. */
static int on_data(ssh_session session, ssh_channel channel, void *data, uint32_t len,
                   int is_stderr, void *userdata)
{
    (void)session, (void)data, (void)is_stderr, (void)userdata;
    ssh_channel_write(channel, ANSWER, sizeof(ANSWER) - 1);
    ssh_channel_send_eof(channel);
    return (int)len;
}

static void on_close(ssh_session session, ssh_channel channel, void *userdata)
{
    (void)session, (void)userdata;
    ssh_channel_close(channel); /* it is freed with its session */
}

static struct ssh_channel_callbacks_struct callbacks = {
    .channel_data_function = on_data,
    .channel_close_function = on_close,
};

static int on_message(ssh_session session, ssh_message message, void *userdata)
{
    ssh_channel channel;

    (void)session, (void)userdata;
    if (ssh_message_type(message) != SSH_REQUEST_CHANNEL_OPEN ||
        ssh_message_subtype(message) != SSH_CHANNEL_FORWARDED_TCPIP ||
        (channel = ssh_message_channel_request_open_reply_accept(message)) == NULL)
        return 1;
    ssh_set_channel_callbacks(channel, &callbacks);
    return 0;
}

/* ---- a device */

/* What stock ssh does: it asks which methods there are, then whether the key would do, then signs.
 */
static int log_in(ssh_session s, const device *d)
{
    int off = 0;
    long seconds = 60;

    ssh_set_message_callback(s, on_message, NULL);
    ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &off);
    ssh_options_set(s, SSH_OPTIONS_HOST, host);
    ssh_options_set(s, SSH_OPTIONS_PORT, &ssh_port);
    ssh_options_set(s, SSH_OPTIONS_USER, user);
    ssh_options_set(s, SSH_OPTIONS_TIMEOUT, &seconds);
    ssh_options_set(s, SSH_OPTIONS_KEY_EXCHANGE, "curve25519-sha256");
    ssh_options_set(s, SSH_OPTIONS_CIPHERS_C_S, "aes128-gcm@openssh.com");
    ssh_options_set(s, SSH_OPTIONS_CIPHERS_S_C, "aes128-gcm@openssh.com");
    return ssh_connect(s) == SSH_OK && ssh_userauth_none(s, NULL) == SSH_AUTH_DENIED &&
           ssh_userauth_try_publickey(s, NULL, d->key) == SSH_AUTH_SUCCESS &&
           ssh_userauth_publickey(s, NULL, d->key) == SSH_AUTH_SUCCESS &&
           ssh_channel_listen_forward(s, d->address, d->port, NULL) == SSH_OK;
}

static void stay(ssh_session s)
{
    ssh_event event = ssh_event_new();

    if (!event || ssh_event_add_session(event, s) != SSH_OK)
        abort();
    for (int said = SSH_OK; ssh_is_connected(s) && said != SSH_ERROR;)
        if ((said = ssh_event_dopoll(event, ALIVE_INTERVAL * 1000)) == SSH_AGAIN)
            ssh_send_keepalive(s);
    ssh_event_remove_session(event, s);
    ssh_event_free(event);
}

static void *live(void *data)
{
    const device *d = data;

    for (int failed = 0, was_up = 0; again || (!was_up && failed < TRIES_MAX);) {
        ssh_session s = ssh_new();
        int in;

        if (!s)
            abort();
        sem_wait(&gate);
        in = log_in(s, d);
        sem_post(&gate);
        pthread_mutex_lock(&lock);
        tries++;
        pthread_mutex_unlock(&lock);
        if (in) {
            count(&up, 1);
            if (!was_up)
                count(&settled, 1);
            was_up = 1;
            stay(s);
            count(&up, -1);
        }
        else {
            if (!again && ++failed == TRIES_MAX) {
                fprintf(stderr, "%s:%d: %s\n", d->address, d->port, ssh_get_error(s));
                count(&settled, 1);
            }
            usleep(again ? 100 * 1000 : 1000 * 1000);
        }
        ssh_free(s);
    }
    return NULL;
}

static void start(const char *line, int fields, const device *of, const char *file)
{
    device *d = malloc(sizeof(*d));
    pthread_attr_t attributes;
    pthread_t thread;

    if (!d || fields != 3) {
        fprintf(stderr, "sshdevices: no device: %s", line);
        exit(2);
    }
    *d = *of;
    if (ssh_pki_import_privkey_file(file, NULL, NULL, NULL, &d->key) != SSH_OK) {
        fprintf(stderr, "sshdevices: no key: %s\n", file);
        exit(1);
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if ((errno = pthread_create(&thread, &attributes, live, d)) != 0) {
        perror("sshdevices: pthread_create");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    char line[512], file[400];
    int devices = 0;

    if (argc < 5) {
        fprintf(stderr, "usage: sshdevices HOST PORT USER AT-ONCE [again]\n");
        return 2;
    }
    host = argv[1], ssh_port = atoi(argv[2]), user = argv[3], again = argc > 5;
    signal(SIGPIPE, SIG_IGN);
    ssh_callbacks_init(&callbacks);
    sem_init(&gate, 0, (unsigned)atoi(argv[4]));
    while (fgets(line, sizeof(line), stdin)) {
        pthread_mutex_lock(&lock);
        if (strcmp(line, "go\n") == 0) {
            while (settled < devices)
                pthread_cond_wait(&changed, &lock);
            printf("done %d\n", up);
        }
        else if (strcmp(line, "tries\n") == 0)
            printf("tries %ld\n", tries);
        else {
            device d = {.port = 0};
            int fields = sscanf(line, "%63s %d %399s", d.address, &d.port, file);

            pthread_mutex_unlock(&lock);
            start(line, fields, &d, file);
            devices++;
            continue;
        }
        pthread_mutex_unlock(&lock);
        fflush(stdout);
    }
    return 0;
}
