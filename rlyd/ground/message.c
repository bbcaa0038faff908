/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "message.h"

#include <string.h>

/** Splits the next word off. @return it, terminated, or NULL at the end */
static char *next_word(char **at)
{
    char *word = *at, *space;

    if (!word)
        return NULL;
    space = strchr(word, ' ');
    if (space)
        *space++ = '\0';
    *at = space;
    return word;
}

static int copy_value(char *to, size_t size, const char *value, const char *allowed)
{
    size_t len = strlen(value);

    if (to[0] || len == 0 || len >= size || strspn(value, allowed) != len)
        return -1;
    memcpy(to, value, len + 1);
    return 0;
}

static int parse_addrs(message *m, char *value)
{
    char *comma;

    if (m->naddrs)
        return -1;
    for (; value; value = comma) {
        if ((comma = strchr(value, ',')))
            *comma++ = '\0';
        if (m->naddrs == RELAY_TUNNEL_ROUTES_MAX ||
            relay_listen_addr_parse(&m->addrs[m->naddrs], value) != APR_SUCCESS)
            return -1;
        m->naddrs++;
    }
    return 0;
}

static int parse_ms(int64_t *ms, const char *value)
{
    int64_t n = 0;

    if (*ms || !*value || strlen(value) > 15)
        return -1;
    for (; *value; value++) {
        if (*value < '0' || *value > '9')
            return -1;
        n = n * 10 + (*value - '0');
    }
    *ms = n;
    return n > 0 ? 0 : -1;
}

static int parse_way(message *m, int *seen, const char *value)
{
    if (*seen)
        return -1;
    *seen = 1;
    m->way = strcmp(value, "tls") == 0 ? RELAY_RLYD_TLS : RELAY_RLYD_DIRECT;
    return m->way == RELAY_RLYD_TLS || strcmp(value, "direct") == 0 ? 0 : -1;
}

/** Takes one NAME=VALUE. @param seen belongs to the caller. @return 0, or -1 */
typedef int take_fn(message *m, int *seen, const char *name, char *value);

/** Takes all the rest of a message. @param bad the sentence for a word that is not taken */
static int parse_words(message *m, char *rest, take_fn *take, int *seen, const char *bad,
                       const char **why)
{
    char *word, *value;

    while ((word = next_word(&rest))) {
        if (!(value = strchr(word, '=')))
            return *why = "a word that is no NAME=VALUE", -1;
        *value++ = '\0';
        if (take(m, seen, word, value) < 0)
            return *why = bad, -1;
    }
    return 0;
}

static int take_handoff(message *m, int *seen, const char *name, char *value)
{
    return strcmp(name, "way") == 0 ? parse_way(m, seen, value) : -1;
}

static int parse_handoff(message *m, char *rest, const char **why)
{
    int seen_way = 0;

    if (parse_words(m, rest, take_handoff, &seen_way,
                    "an unknown, repeated or bad value in a hand-off", why) < 0)
        return -1;
    if (!seen_way)
        return *why = "a hand-off without way", -1;
    return 0;
}

static const char base32[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char print[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/:";

static int parse_refusal(message *m, const char *value)
{
    int i;

    for (i = RELAY_RLYD_UNKNOWN; !m->refusal && i <= RELAY_RLYD_REDIS; i++)
        if (strcmp(value, relay_rlyd_refusal_word((relay_rlyd_refusal)i)) == 0) {
            m->refusal = (relay_rlyd_refusal)i;
            return 0;
        }
    return -1;
}

static int take_refused(message *m, int *seen, const char *name, char *value)
{
    if (strcmp(name, "tunnel") == 0)
        return copy_value(m->tunnel, sizeof(m->tunnel), value, base32);
    if (strcmp(name, "key") == 0)
        return copy_value(m->fingerprint, sizeof(m->fingerprint), value, print);
    if (strcmp(name, "why") == 0)
        return parse_refusal(m, value);
    return -1;
}

static int parse_refused(message *m, char *rest, const char **why)
{
    if (parse_words(m, rest, take_refused, NULL,
                    "an unknown, repeated or bad value in a report of a refused key", why) < 0)
        return -1;
    if (!m->refusal || !relay_fingerprint_is_valid(m->fingerprint) ||
        ((m->refusal == RELAY_RLYD_CLOSED || m->refusal == RELAY_RLYD_EXPIRED) && !m->tunnel[0]))
        return *why = "a report of a refused key without key, why or tunnel", -1;
    return 0;
}

static int take_login(message *m, int *seen, const char *name, char *value)
{
    if (strcmp(name, "tunnel") == 0)
        return copy_value(m->tunnel, sizeof(m->tunnel), value, base32);
    if (strcmp(name, "key") == 0)
        return copy_value(m->fingerprint, sizeof(m->fingerprint), value, print);
    if (strcmp(name, "expires") == 0)
        return parse_ms(&m->expires_redis_ms, value);
    if (strcmp(name, "listen") == 0)
        return parse_addrs(m, value);
    return -1;
}

static int parse_login(message *m, char *rest, const char **why)
{
    if (parse_words(m, rest, take_login, NULL,
                    "an unknown, repeated or bad value in a login report", why) < 0)
        return -1;
    if (!m->tunnel[0] || !m->naddrs || !m->expires_redis_ms ||
        !relay_fingerprint_is_valid(m->fingerprint))
        return *why = "a login report without tunnel, key, expires or listen", -1;
    return 0;
}

int message_parse(message *m, const char *text, size_t len, const char **why)
{
    char copy[RELAY_RLYD_MESSAGE_MAX + 1], *rest = copy, *word;
    size_t i;

    memset(m, 0, sizeof(*m));
    if (len > RELAY_RLYD_MESSAGE_MAX)
        return *why = "a message that is too long", -1;
    for (i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return *why = "a message with other bytes than printable ASCII", -1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    word = next_word(&rest);
    if (strcmp(word, RELAY_RLYD_PROTOCOL) != 0)
        return *why = "a message of another protocol than " RELAY_RLYD_PROTOCOL, -1;
    word = next_word(&rest);
    if (word && strcmp(word, "handoff") == 0) {
        m->verb = MESSAGE_HANDOFF;
        return parse_handoff(m, rest, why);
    }
    if (word && strcmp(word, "login") == 0) {
        m->verb = MESSAGE_LOGIN;
        return parse_login(m, rest, why);
    }
    if (word && strcmp(word, "refused") == 0) {
        m->verb = MESSAGE_REFUSED;
        return parse_refused(m, rest, why);
    }
    return *why = "an unknown verb", -1;
}
