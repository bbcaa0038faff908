/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: Redis's invalidation messages, as mod_relay's watcher reads them. */

#include "../../mod_relay/routes/changes.h"
#include "fuzz.h"

typedef struct counts {
    size_t ones, alls, bytes;
} counts;

static void one(void *baton, const char *name)
{
    counts *n = baton;

    n->ones++;
    n->bytes += strlen(name);
}

static void all(void *baton)
{
    ((counts *)baton)->alls++;
}

/* The same bytes in one piece, and cut in two at a place that the first byte chooses, mean the
 * same. */
int fuzz_changes(const char *text, size_t size, apr_pool_t *p)
{
    counts n[2] = {{0}, {0}};
    size_t cut = size ? (unsigned char)text[0] * size / 256 : 0;
    int way, whole[2];

    for (way = 0; way < 2; way++) {
        mod_relay_changes to = {"relay:route:", one, all, &n[way]};
        redisReader *reader = redisReaderCreate();

        MUST(reader);
        if (way) {
            redisReaderFeed(reader, text, cut);
            whole[way] = mod_relay_changes_read(reader, &to);
            redisReaderFeed(reader, text + cut, size - cut);
            whole[way] = whole[way] && mod_relay_changes_read(reader, &to);
        }
        else {
            redisReaderFeed(reader, text, size);
            whole[way] = mod_relay_changes_read(reader, &to);
        }
        redisReaderFree(reader);
    }
    MUST(n[0].bytes <= size);
    MUST(whole[0] == whole[1]);
    MUST(n[0].ones == n[1].ones && n[0].alls == n[1].alls && n[0].bytes == n[1].bytes);
    return n[0].ones + n[0].alls > 0;
}
