/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is said on rlyd's socket. */
#include "fuzz.h"
#include "ground/message.h"

int fuzz_message(const char *text, size_t size, apr_pool_t *p)
{
    const char *why = NULL;
    message m;
    int i;

    if (message_parse(&m, text, size, &why) < 0) {
        MUST(why && *why && fuzz_is_plain(why));
        return 0;
    }
    MUST(size <= RELAY_RLYD_MESSAGE_MAX);
    MUST(memchr(m.tunnel, '\0', sizeof(m.tunnel)) &&
         memchr(m.fingerprint, '\0', sizeof(m.fingerprint)));
    /* These go into JSON and commands of Redis's as they are. */
    MUST(!strpbrk(m.tunnel, "\"\\ {}:*") && !strpbrk(m.fingerprint, "\"\\ {}"));
    if (m.verb == MESSAGE_HANDOFF) {
        MUST(m.way == RELAY_RLYD_DIRECT || m.way == RELAY_RLYD_TLS);
        MUST(!m.tunnel[0] && !m.naddrs);
        return 1;
    }
    if (m.verb == MESSAGE_REFUSED) {
        MUST(m.refusal >= RELAY_RLYD_UNKNOWN && m.refusal <= RELAY_RLYD_REDIS && !m.naddrs);
        MUST(relay_fingerprint_is_valid(m.fingerprint) && !strpbrk(m.tunnel, " ="));
        return 1;
    }
    MUST(m.verb == MESSAGE_LOGIN && m.tunnel[0] && relay_fingerprint_is_valid(m.fingerprint));
    MUST(m.expires_redis_ms > 0 && m.naddrs >= 1 && m.naddrs <= RELAY_TUNNEL_ROUTES_MAX);
    for (i = 0; i < m.naddrs; i++)
        MUST(m.addrs[i].port != 0);
    return 1;
}
