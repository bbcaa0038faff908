/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "outcome.h"
#include "ground/sshdtest.h"

#include <string.h>

#define GRACE_MS 20000 /* sshd_config's LoginGraceTime, as shipped */

void refusal_reported(rlyd *d, const proc_info *monitor, const message *refused)
{
    session *s = session_of_monitor(d, monitor);

    if (s->state > SESSION_OFFERED)
        return;
    s->refusal = refused->refusal;
    apr_cpystrn(s->refused_key, refused->fingerprint, sizeof(s->refused_key));
    apr_cpystrn(s->refused_tunnel, refused->tunnel, sizeof(s->refused_tunnel));
}

static const char *of_key(const session *s, char *out, size_t size)
{
    switch (s->refusal) {
    case RELAY_RLYD_CLOSED:
    case RELAY_RLYD_EXPIRED:
        apr_snprintf(out, (apr_size_t)size, "key %s is that of tunnel %s, which %s", s->refused_key,
                     s->refused_tunnel,
                     s->refusal == RELAY_RLYD_CLOSED ? "was closed" : "has expired");
        break;
    case RELAY_RLYD_ELSEWHERE:
        apr_snprintf(out, (apr_size_t)size, "key %s is that of a tunnel of another relay",
                     s->refused_key);
        break;
    case RELAY_RLYD_RECORD:
        apr_snprintf(out, (apr_size_t)size,
                     "the record of key %s cannot be used; relay-authkeys says more in syslog",
                     s->refused_key);
        break;
    case RELAY_RLYD_REDIS:
        apr_snprintf(out, (apr_size_t)size, "relay-authkeys could not ask Redis about key %s",
                     s->refused_key);
        break;
    default:
        apr_snprintf(out, (apr_size_t)size,
                     "key %s belongs to no tunnel, nor to one that ended within a day",
                     s->refused_key);
        break;
    }
    return out;
}

const char *refusal_print(const session *s, char *out, size_t size)
{
    const char *account = sshdtest_account(s->d->cfg);

    if (s->refusal)
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
                     "none as user %s; "
                     "else sshd's log says why",
                     s->d->cfg->user);
    return out;
}
