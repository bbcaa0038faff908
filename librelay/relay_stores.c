/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_stores.h"
#include "relay_clock.h"

#include <apr_thread_mutex.h>
#include <string.h>

#define HOLD_OFF apr_time_from_msec(250)
/* No more lines than this in this time, and the same line only once. */
#define COMPLAIN_EVERY apr_time_from_sec(5)
#define COMPLAINTS_MAX 10
/* A rush leaves connections behind; they are closed when unused for so long. */
#define UNUSED_MAX apr_time_from_sec(30)

struct relay_stores {
    const relay_config *cfg;
    apr_pool_t *pool;
    apr_thread_mutex_t *mutex; /* guards all below */
    relay_lent *idle;
    unsigned source;             /* counts the servers that were read from */
    apr_pool_t *source_pool;     /* of from */
    const relay_redis_url *from; /* NULL: as the configuration says */
    apr_time_t try_again;        /* before this nobody asks; 0 while Redis answers */
    /* trouble that was logged of late: */
    apr_time_t complaining; /* since when */
    int complaints;
    char complaint[200];
};

void relay_stores_create(relay_stores **out, const relay_config *cfg, apr_pool_t *p)
{
    relay_stores *s = apr_pcalloc(p, sizeof(*s));

    s->cfg = cfg;
    s->pool = p;
    apr_thread_mutex_create(&s->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    apr_pool_create(&s->source_pool, p);
    *out = s;
}

static void close_all(relay_lent *lent)
{
    relay_lent *next;

    for (; lent; lent = next) {
        next = lent->next;
        apr_pool_destroy(lent->pool);
    }
}

void relay_stores_read_from(relay_stores *s, const relay_redis_url *url)
{
    relay_lent *old;

    apr_thread_mutex_lock(s->mutex);
    apr_pool_clear(s->source_pool);
    s->from = url ? relay_redis_url_copy(url, s->source_pool) : NULL;
    s->source++;
    old = s->idle;
    s->idle = NULL;
    apr_thread_mutex_unlock(s->mutex);
    close_all(old);
}

static relay_lent *make(relay_stores *s)
{
    const relay_redis_url *from;
    relay_lent *lent;
    apr_pool_t *p;

    apr_pool_create(&p, s->pool);
    lent = apr_pcalloc(p, sizeof(*lent));
    lent->pool = p;
    relay_store_create(&lent->store, s->cfg, p);
    apr_thread_mutex_lock(s->mutex);
    lent->source = s->source;
    from = s->from ? relay_redis_url_copy(s->from, p) : NULL;
    apr_thread_mutex_unlock(s->mutex);
    if (from)
        relay_store_read_from(lent->store, from);
    return lent;
}

relay_lent *relay_stores_take(relay_stores *s)
{
    relay_lent *lent = NULL;
    apr_time_t now = relay_clock();
    int allowed;

    apr_thread_mutex_lock(s->mutex);
    if ((allowed = now >= s->try_again) != 0) {
        /* After a failure one request tries, alone. */
        if (s->try_again)
            s->try_again = now + 4 * s->cfg->redis_timeout;
        if ((lent = s->idle) != NULL)
            s->idle = lent->next;
    }
    apr_thread_mutex_unlock(s->mutex);
    return !allowed || lent ? lent : make(s);
}

void relay_stores_give_back(relay_stores *s, relay_lent *lent, int failed)
{
    relay_lent *old = NULL;

    lent->used = relay_clock();
    apr_thread_mutex_lock(s->mutex);
    s->try_again = failed ? lent->used + HOLD_OFF : 0;
    if (lent->source == s->source) {
        lent->next = s->idle;
        s->idle = lent;
    }
    else {
        lent->next = NULL;
        old = lent;
    }
    apr_thread_mutex_unlock(s->mutex);
    close_all(old);
}

void relay_stores_resume(relay_stores *s)
{
    apr_thread_mutex_lock(s->mutex);
    s->try_again = 0;
    apr_thread_mutex_unlock(s->mutex);
}

void relay_stores_sweep(relay_stores *s)
{
    apr_time_t now = relay_clock();
    relay_lent **at, *old;

    apr_thread_mutex_lock(s->mutex);
    /* It is a stack: below a connection that has long been unused, all have been for longer. */
    for (at = &s->idle; *at && now - (*at)->used < UNUSED_MAX; at = &(*at)->next)
        ;
    old = *at;
    *at = NULL;
    apr_thread_mutex_unlock(s->mutex);
    close_all(old);
}

int relay_stores_complain(relay_stores *s, const char *why)
{
    apr_time_t now = relay_clock();
    int due;

    apr_thread_mutex_lock(s->mutex);
    if (!s->complaining || now - s->complaining >= COMPLAIN_EVERY) {
        s->complaining = now;
        s->complaints = 0;
        s->complaint[0] = '\0';
    }
    due = s->complaints < COMPLAINTS_MAX && strncmp(why, s->complaint, sizeof(s->complaint) - 1);
    if (due) {
        s->complaints++;
        apr_cpystrn(s->complaint, why, sizeof(s->complaint));
    }
    apr_thread_mutex_unlock(s->mutex);
    return due;
}
