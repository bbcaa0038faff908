/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "followers.h"

#include <apr_tables.h>
#include <apr_thread_mutex.h>
#include <string.h>

struct api_followers {
    apr_thread_mutex_t *lock;
    int most, most_of_token, n;
    const char **tokens; /* n of them, one for each call */
};

apr_status_t api_followers_create(api_followers **out, int threads, apr_pool_t *p)
{
    api_followers *f = apr_pcalloc(p, sizeof(*f));

    f->most = threads / 4 > 1 ? threads / 4 : 1;
    f->most_of_token = threads / 8 > 1 ? threads / 8 : 1;
    f->tokens = apr_pcalloc(p, (apr_size_t)f->most * sizeof(*f->tokens));
    *out = f;
    return apr_thread_mutex_create(&f->lock, APR_THREAD_MUTEX_DEFAULT, p);
}

int api_followers_begin(api_followers *f, const char *token)
{
    int i, same = 0, may;

    apr_thread_mutex_lock(f->lock);
    for (i = 0; i < f->n; i++)
        same += strcmp(f->tokens[i], token) == 0;
    may = f->n < f->most && same < f->most_of_token;
    if (may)
        f->tokens[f->n++] = token;
    apr_thread_mutex_unlock(f->lock);
    return may;
}

void api_followers_end(api_followers *f, const char *token)
{
    int i;

    apr_thread_mutex_lock(f->lock);
    for (i = 0; i < f->n && f->tokens[i] != token; i++)
        ;
    if (i < f->n)
        f->tokens[i] = f->tokens[--f->n];
    apr_thread_mutex_unlock(f->lock);
}
