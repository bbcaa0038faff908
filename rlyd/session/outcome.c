/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "outcome.h"
#include "ground/loop.h"
#include "ground/sshdtest.h"

#include <string.h>

#define GRACE_MS 20000 /* sshd_config's LoginGraceTime, as shipped */

void outcome_refused(rlyd *d, const proc_info *monitor, const message *refused)
{
    session *s = session_of_monitor(d, monitor);

    if (s->state > SESSION_OFFERED)
        return;
    s->outcome.refusal = refused->refusal;
    apr_cpystrn(s->outcome.key, refused->fingerprint, sizeof(s->outcome.key));
    apr_cpystrn(s->outcome.tunnel, refused->tunnel, sizeof(s->outcome.tunnel));
}

void outcome_offered(session *s, pid_t asker, const message *login)
{
    s->outcome.refusal = 0;
}

static const char *of_key(const session *s, char *out, size_t size)
{
    switch (s->outcome.refusal) {
    case RELAY_RLYD_CLOSED:
    case RELAY_RLYD_EXPIRED:
        apr_snprintf(out, (apr_size_t)size, "key %s is that of tunnel %s, which %s", s->outcome.key,
                     s->outcome.tunnel,
                     s->outcome.refusal == RELAY_RLYD_CLOSED ? "was closed" : "has expired");
        break;
    case RELAY_RLYD_ELSEWHERE:
        apr_snprintf(out, (apr_size_t)size, "key %s is that of a tunnel of another relay",
                     s->outcome.key);
        break;
    case RELAY_RLYD_RECORD:
        apr_snprintf(out, (apr_size_t)size,
                     "the record of key %s cannot be used; relay-authkeys says more in syslog",
                     s->outcome.key);
        break;
    case RELAY_RLYD_REDIS:
        apr_snprintf(out, (apr_size_t)size, "relay-authkeys could not ask Redis about key %s",
                     s->outcome.key);
        break;
    default:
        apr_snprintf(out, (apr_size_t)size,
                     "key %s belongs to no tunnel, nor to one that ended within a day",
                     s->outcome.key);
        break;
    }
    return out;
}

static const char *explain(const session *s, char *out, size_t size)
{
    const char *account = sshdtest_account(s->d->cfg);

    if (s->outcome.refusal)
        return of_key(s, out, size);
    if (s->state == SESSION_OFFERED)
        apr_snprintf(
            out, (apr_size_t)size,
            "the client offered the key, which is granted, and did not prove that it has it");
    else if (account)
        apr_snprintf(out, (apr_size_t)size, "%s", account);
    else if (s->our_child && now_ms() - s->began_ms >= GRACE_MS)
        apr_snprintf(out, (apr_size_t)size, "the client took longer than sshd's LoginGraceTime");
    else
        apr_snprintf(out, (apr_size_t)size,
                     "relay-authkeys was asked about no key: the client left first, or offered "
                     "none as user %s; else sshd's log says why",
                     s->d->cfg->user);
    return out;
}

static void log_end(const session *s)
{
    double seconds = (double)(now_ms() - s->began_ms) / 1000;
    char why[400];

    if (s->child_start)
        seconds = (double)proc_age_ms(s->child_start) / 1000;
    if (s->child || s->state == SESSION_ENDING)
        relay_log(RELAY_LOG_NOTICE,
                  "RLY410 tunnel %s: session ended: %s%s; peer %s, way in %s, %.1f s",
                  s->tunnel[0] ? s->tunnel : "(unknown)", s->why ? s->why : "disconnected",
                  s->ending.killed ? " (had to be killed)" : "", s->peer[0] ? s->peer : "(unknown)",
                  session_way_name(s->way), seconds);
    else
        relay_log(RELAY_LOG_INFO,
                  "RLY411 %s%s: login not completed: %s; peer %s, way in %s, %.1f s",
                  s->tunnel[0] ? "tunnel " : "no tunnel", s->tunnel, explain(s, why, sizeof(why)),
                  s->peer[0] ? s->peer : "(unknown)", session_way_name(s->way), seconds);
}

void outcome_gone(session *s)
{
    if (s->state == SESSION_STARTED && s->status != -1)
        sshdtest_ended(s->d, s->peer, s->status, now_ms() - s->began_ms);
    log_end(s);
}
