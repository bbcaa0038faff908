/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_pool.h"

#include <apr_allocator.h>
#include <apr_thread_mutex.h>

apr_pool_t *relay_pool_locked(apr_pool_t *parent, const char *tag)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_ex(&pool, parent, NULL, allocator) != APR_SUCCESS)
        return NULL;
    apr_allocator_owner_set(allocator, pool);
    apr_allocator_max_free_set(allocator, 1 << 20);
    if (apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS)
        return NULL;
    apr_allocator_mutex_set(allocator, mutex);
    apr_pool_tag(pool, tag);
    return pool;
}
