/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz targets: small texts that come from people, or from strangers. */

#include "fuzz.h"
#include "relay_duration.h"
#include "relay_name.h"
#include "relay_service.h"
#include "relay_text.h"

#include <ctype.h>

/* A parser that failed has to say why, in a sentence that can be shown. */
static int refused(const char *why)
{
    MUST(why && *why);
    return 0;
}

int fuzz_host(const char *text, size_t size, apr_pool_t *p)
{
    const char *domain = fuzz_config()->domain, *canonical;
    char name[RELAY_NAME_MAX + 1] = "untouched", again[RELAY_NAME_MAX + 1];
    char *exact = malloc(size ? size : 1); /* it must not read behind len: no NUL there */
    relay_host_kind kind;
    size_t i, labels;

    MUST(exact);
    memcpy(exact, text, size);
    kind = relay_name_from_host(name, exact, size, domain);
    free(exact);
    if (kind != RELAY_HOST_NAME) {
        /* Nobody may reach a route's name that the module did not see. */
        for (i = labels = 0; i < size && labels < 64; i++, labels++)
            if (!isalnum((unsigned char)text[i]) && text[i] != '-')
                break;
        if (labels && labels <= RELAY_NAME_MAX &&
            relay_name_check(text, labels, NULL, NULL) == APR_SUCCESS)
            MUST(size != labels + 1 + strlen(domain) || text[labels] != '.' ||
                 memcmp(text + labels + 1, domain, strlen(domain)));
        return 0;
    }
    MUST(relay_name_check(name, strlen(name), NULL, NULL) == APR_SUCCESS);
    MUST(size >= strlen(name) + 1 + strlen(domain));
    for (i = 0; name[i]; i++)
        MUST(tolower((unsigned char)text[i]) == name[i]);
    MUST(text[i] == '.');
    canonical = apr_pstrcat(p, name, ".", domain, NULL);
    MUST(relay_name_from_host(again, canonical, strlen(canonical), domain) == RELAY_HOST_NAME &&
         strcmp(again, name) == 0);
    return 1;
}

int fuzz_service(const char *text, size_t size, apr_pool_t *p)
{
    relay_service *sv = NULL, *again = NULL;
    const char *why = NULL;

    if (relay_service_parse(&sv, text, p, &why) != APR_SUCCESS)
        return refused(why);
    MUST(relay_scheme_is_known(sv->scheme) && sv->port);
    /* It ends up in the ssh command and in ssh's configuration. */
    MUST(sv->target[strspn(sv->target, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]")] == '\0');
    MUST(sv->target[0] != '-');
    MUST(relay_service_parse(&again, sv->url, p, &why) == APR_SUCCESS);
    MUST(strcmp(again->url, sv->url) == 0 && strcmp(again->target, sv->target) == 0 &&
         strcmp(again->scheme, sv->scheme) == 0);
    MUST(again->port == sv->port);
    return 1;
}

int fuzz_duration(const char *text, size_t size, apr_pool_t *p)
{
    apr_interval_time_t span = -1, again = -1;
    const char *why = NULL;

    if (relay_duration_parse(&span, text, p, &why) != APR_SUCCESS) {
        MUST(span == -1);
        return refused(why);
    }
    MUST(span >= 0 && span <= RELAY_DURATION_MAX);
    MUST(relay_duration_parse(&again, relay_duration_print(span, p), p, &why) == APR_SUCCESS &&
         again == span);
    return 1;
}

int fuzz_listen(const char *text, size_t size, apr_pool_t *p)
{
    relay_listen_space *space = NULL;
    apr_uint64_t probe[4];
    const char *why = NULL;
    int i, j;

    if (relay_listen_space_parse(&space, text, p, &why) != APR_SUCCESS)
        return refused(why);
    MUST(space->nblocks >= 1 && space->nblocks <= RELAY_LISTEN_BLOCKS_MAX);
    MUST(space->size >= 1 && space->size <= APR_UINT64_C(1) << 50);
    probe[0] = 0;
    probe[1] = space->size / 2;
    probe[2] = space->size - 1;
    probe[3] = space->size / 3;
    for (i = 0; i < 4; i++) {
        relay_listen_addr a = relay_listen_at(space, probe[i]), b;

        MUST(a.ip >> 24 == 127 && a.port >= 1024 && relay_listen_contains(space, a));
        MUST(relay_listen_addr_parse(&b, relay_listen_addr_print(a, p)) == APR_SUCCESS &&
             b.ip == a.ip && b.port == a.port);
        for (j = 0; j < i; j++) { /* two positions, two addresses */
            b = relay_listen_at(space, probe[j]);
            MUST(probe[i] == probe[j] || a.ip != b.ip || a.port != b.port);
        }
    }
    return 1;
}

int fuzz_address(const char *text, size_t size, apr_pool_t *p)
{
    relay_listen_addr a;

    if (relay_listen_addr_parse(&a, text) != APR_SUCCESS)
        return 0;
    /* One spelling: sshd compares addresses as text. */
    MUST(strlen(text) <= size && strcmp(relay_listen_addr_print(a, p), text) == 0);
    return 1;
}

int fuzz_redis_url(const char *text, size_t size, apr_pool_t *p)
{
    relay_redis_url *u = NULL;
    const char *why = NULL;
    int i;

    if (relay_redis_url_parse(&u, text, p, &why) != APR_SUCCESS) {
        MUST(why && fuzz_is_plain(why)); /* constant sentences: no part of a password is in them */
        return 0;
    }
    MUST(!u->unix_path + !u->host + !u->primary == 2 && u->db >= 0 && u->db <= 65535);
    MUST(!u->host || (u->port >= 1 && u->port <= 65535));
    MUST(!u->primary == !u->nsentinels && u->nsentinels <= RELAY_SENTINELS_MAX && !u->named);
    for (i = 0; i < u->nsentinels; i++)
        MUST(*u->sentinels[i].host && u->sentinels[i].port >= 1 && u->sentinels[i].port <= 65535);
    MUST(!strchr(u->shown, '@')); /* what a login ends with */
    return 1;
}

int fuzz_text(const char *text, size_t size, apr_pool_t *p)
{
    const char *c;
    unsigned long code;
    int n, plain = relay_text_is_plain(text);

    for (c = text; *c; c += n) {
        if ((n = relay_text_decode(c, &code)) == 0) {
            MUST(!relay_text_is_utf8(text) && !plain);
            return 0;
        }
        MUST(n <= 4 && code <= 0x10ffff && memchr(c, 0, (size_t)n) == NULL);
    }
    MUST(relay_text_is_utf8(text));
    MUST(!plain || fuzz_is_plain(text));
    return plain;
}
