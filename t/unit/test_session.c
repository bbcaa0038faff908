/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* rlyd's session.c: which state follows which, who hears of it, and when nobody does. The monitors
 * are children of this program that wait; the authenticated children are gone already. */

#include "ground/loop.h"
#include "session/session.h"
#include "tap.h"

#include <apr_general.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static rlyd daemon_;
static char heard[200]; /* the hooks that were called, a letter each */

static void hear(char what)
{
    size_t n = strlen(heard);

    heard[n] = what;
    heard[n + 1] = '\0';
}

static int is_heard(const char *expected)
{
    int same = strcmp(heard, expected) == 0;

    if (!same)
        printf("# heard `%s', not `%s'\n", heard, expected);
    heard[0] = '\0';
    return same;
}

static void on_offered(session *s, pid_t asker, const message *login)
{
    hear('o');
}

static void on_offered_next(session *s, pid_t asker, const message *login)
{
    hear('O');
}

static void on_entered(session *s)
{
    hear(s->state == SESSION_PROVED ? 'e' : '?');
}

static void on_proved(session *s)
{
    hear('p');
}

static void on_found(session *s)
{
    hear(s->tunnel[0] ? '?' : 'f');
}

static void on_identified(session *s)
{
    hear(s->tunnel[0] ? 'i' : '?');
}

static void on_ending(session *s)
{
    hear(s->state == SESSION_ENDING ? 'x' : '?');
}

static void on_gone(session *s)
{
    hear(session_by_id(s->d, s->id) == s ? 'g' : '?');
}

static void before_proof(rlyd *d)
{
    hear('b');
}

static const session_hooks hooks = {
    .before_proof = {before_proof},
    .offered = {on_offered, on_offered_next},
    .entered = {on_entered},
    .proved = {on_proved},
    .found = {on_found},
    .identified = {on_identified},
    .ending = {on_ending},
    .gone = {on_gone},
};

static const relay_listen_addr addr = {.ip = 0x7f4d0005, .port = 10000};

static message offer_of(const char *tunnel)
{
    message m = {.verb = MESSAGE_LOGIN, .naddrs = 1, .addrs = {addr}, .expires_redis_ms = 1};

    apr_cpystrn(m.tunnel, tunnel, sizeof(m.tunnel));
    return m;
}

/** A process to be a session's monitor. */
static proc_info start_monitor(void)
{
    proc_info info = {0};
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    proc_read(pid, &info);
    return info;
}

/** It ends, and rlyd is told. */
static void end_monitor(const proc_info *monitor)
{
    session *s = session_by_monitor(&daemon_, monitor->pid);

    kill(monitor->pid, SIGKILL);
    waitpid(monitor->pid, NULL, 0);
    if (s)
        session_gone(s);
}

/** An authenticated child that has ended since: it has no start time. */
static const proc_info child = {.pid = 1, .euid = 1234, .ruid = 1234};

static void test_login(void)
{
    proc_info monitor = start_monitor();
    session *s = session_started(&daemon_, monitor.pid, WAY_DIRECT, "192.0.2.1:1");
    message first = offer_of("first"), second = offer_of("second");
    uint64_t id = s->id;

    ok(s->state == SESSION_STARTED && is_heard(""), "a session begins as STARTED");
    session_end(s, "closed");
    ok(s->state == SESSION_STARTED && is_heard(""), "sshd ends it as long as nothing is proved");
    session_offered(&daemon_, &monitor, 2, &first);
    ok(s->state == SESSION_OFFERED && is_heard("oO"), "a key is offered; all hear, in their order");
    session_offered(&daemon_, &monitor, 3, &second);
    ok(s->state == SESSION_OFFERED && is_heard("oO"), "another key is");
    ok(session_of_tunnel(&daemon_, "second") == s && !session_of_tunnel(&daemon_, "first"),
       "it is the last one's tunnel's");
    ok(!session_expecting(&daemon_, addr), "nobody is expected on its address yet");
    session_hear_reports(&daemon_);
    session_proved(s, &child, 1);
    ok(s->state == SESSION_PROVED && is_heard("bep"), "it is PROVED");
    ok(session_expecting(&daemon_, addr) == s, "and expected on its address");
    session_proved(s, &child, 1);
    session_offered(&daemon_, &monitor, 3, &first);
    ok(s->state == SESSION_PROVED && is_heard(""), "once only, and no offer counts any more");
    ok(session_of_tunnel(&daemon_, "second") == s, "nor does it change the tunnel");
    session_end(s, "closed");
    ok(s->state == SESSION_ENDING && is_heard("x"), "it ends");
    ok(!session_expecting(&daemon_, addr), "and is expected nowhere");
    session_end(s, "expired");
    session_proved(s, &child, 1);
    ok(is_heard("") && strcmp(s->why, "closed") == 0, "once only, for the first reason");
    end_monitor(&monitor);
    ok(is_heard("g") && !session_by_id(&daemon_, id), "it is gone, and forgotten after that");
    ok(session_count(&daemon_) == 0 && !session_of_tunnel(&daemon_, "second"), "by everybody");
}

static void test_lost_report(void)
{
    proc_info monitor = start_monitor();
    message offer = offer_of("first");
    session *s;

    session_offered(&daemon_, &monitor, 2, &offer);
    s = session_by_monitor(&daemon_, monitor.pid);
    is_heard("oO");
    session_proved(s, &child, 0);
    ok(s->state == SESSION_PROVED && is_heard("e"),
       "a login whose last report was lost is no tunnel's");
    ok(!s->tunnel[0] && !session_of_tunnel(&daemon_, "first"), "not that of an earlier report");
    ok(!session_expecting(&daemon_, addr), "and nobody is expected");
    end_monitor(&monitor);
    ok(is_heard("g"), "it goes by itself, too");
}

static void test_found(void)
{
    proc_info monitor = start_monitor();
    session *s = session_adopted(&daemon_, &monitor, &child, WAY_LISTENING);

    ok(s->state == SESSION_PROVED && is_heard("ef"), "a session that is found begins as PROVED");
    session_identify(s, "third", "SHA256:x", 1, &addr);
    ok(session_of_tunnel(&daemon_, "third") == s && is_heard("i"), "then its tunnel is known");
    ok(session_expecting(&daemon_, addr) == s, "and it is expected there");
    end_monitor(&monitor);
    ok(is_heard("g"), "and it goes");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&daemon_.pool, NULL);
    if (loop_make(&daemon_) < 0)
        return 1;
    sessions_init(&daemon_);
    session_init(&daemon_, &hooks);
    test_login();
    test_lost_report();
    test_found();
    return done_testing();
}
