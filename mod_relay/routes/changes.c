/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "changes.h"

#include <string.h>

static void take_keys(const redisReply *keys, const mod_relay_changes *to)
{
    apr_size_t skip = strlen(to->prefix), i;

    if (keys->type != REDIS_REPLY_ARRAY) { /* nil */
        to->all(to->baton);
        return;
    }
    for (i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];

        if (key->type == REDIS_REPLY_STRING && strncmp(key->str, to->prefix, skip) == 0)
            to->one(to->baton, key->str + skip);
    }
}

int mod_relay_changes_read(redisReader *reader, const mod_relay_changes *to)
{
    for (;;) {
        void *reply;
        redisReply *r;

        if (redisReaderGetReply(reader, &reply) != REDIS_OK)
            return 0;
        if ((r = reply) == NULL)
            return 1;
        if (r->type == REDIS_REPLY_ARRAY && r->elements == 3 &&
            r->element[0]->type == REDIS_REPLY_STRING && strcmp(r->element[0]->str, "message") == 0)
            take_keys(r->element[2], to);
        freeReplyObject(r);
    }
}
