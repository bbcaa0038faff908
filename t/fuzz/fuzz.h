/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Fuzz targets: each feeds bytes to one parser and then judges what came out, not only whether it
 * crashed. One list, two programs: `fuzz` (libFuzzer, by script/fuzz) and `replay` (make check: the
 * kept corpora, any compiler).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay_config.h"

/**
 * @param text size bytes and a NUL behind them; may hold more NULs
 * @param p cleared afterwards
 * @return 1 when the parser took the bytes, 0 when it refused them
 */
typedef int fuzz_fn(const char *text, size_t size, apr_pool_t *p);

typedef struct fuzz_target {
    const char *name; /* its corpus is corpus/NAME/ */
    fuzz_fn *run;
    size_t max; /* longest input */
} fuzz_target;

extern const fuzz_target fuzz_targets[];
const fuzz_target *fuzz_target_find(const char *name);

/** Runs a target in a pool of its own. */
int fuzz_run(const fuzz_target *t, const void *data, size_t size);

/** What has to be true of any input; else the input is a finding. */
#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

/** Whether a text may stand in a log line or on a terminal: no control characters. */
static inline int fuzz_is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            return 0;
    return 1;
}

/** relay.conf as the targets use it: defaults, relay1, relay.example.com, unix:///fuzz. */
const relay_config *fuzz_config(void);

/** What Redis says next, to each connection that librelay makes from now on, before it hangs up
 * (redis.c). */
void fuzz_redis_says(const char *bytes, size_t size);

fuzz_fn fuzz_host, fuzz_service, fuzz_duration, fuzz_listen, fuzz_address, fuzz_redis_url,
    fuzz_text;                                             /* text.c */
fuzz_fn fuzz_conf;                                         /* conf.c */
fuzz_fn fuzz_key, fuzz_login;                              /* key.c */
fuzz_fn fuzz_route, fuzz_grant, fuzz_tunnel, fuzz_connect; /* replies.c */
fuzz_fn fuzz_sentinel, fuzz_fleet;                         /* replies.c */
fuzz_fn fuzz_changes;                                      /* changes.c */
fuzz_fn fuzz_frames;                                       /* frames.c */
fuzz_fn fuzz_cookies;                                      /* cookies.c */
fuzz_fn fuzz_forgive;                                      /* forgive.c */
fuzz_fn fuzz_addresses;                                    /* addresses.c */
fuzz_fn fuzz_rewrite;                                      /* rewrite.c */
fuzz_fn fuzz_message;                                      /* message.c */
fuzz_fn fuzz_answers, fuzz_live;                           /* rlyd_replies.c */
fuzz_fn fuzz_rly_answer, fuzz_rly_place;                   /* rly_api.c */
fuzz_fn fuzz_api_query, fuzz_api_body, fuzz_token;         /* api.c */
fuzz_fn fuzz_code;                                         /* api.c */

#endif
