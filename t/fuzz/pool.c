/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * APR's pools hand out pieces of large blocks, in which a sanitizer sees no end. Linked with
 * -Wl,--wrap (script/fuzz), each piece that librelay asks for is an allocation of its own here,
 * freed when its pool is cleared.
 */
#include <apr_pools.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *__wrap_apr_palloc(apr_pool_t *p, apr_size_t size);
void *__wrap_apr_pcalloc(apr_pool_t *p, apr_size_t size);
char *__wrap_apr_pstrdup(apr_pool_t *p, const char *s);
char *__wrap_apr_pstrmemdup(apr_pool_t *p, const char *s, apr_size_t n);
char *__wrap_apr_psprintf(apr_pool_t *p, const char *fmt, ...);
char *__wrap_apr_pstrcat(apr_pool_t *p, ...);

/* Kept in a list, so that the leak detector, which does not look into APR's memory, knows them to
 * be in use. */
typedef struct piece {
    struct piece *next, *prev;
} piece;

static piece pieces = {&pieces, &pieces};

static apr_status_t release(void *data)
{
    piece *it = data;

    it->prev->next = it->next;
    it->next->prev = it->prev;
    free(it);
    return APR_SUCCESS;
}

void *__wrap_apr_palloc(apr_pool_t *p, apr_size_t size)
{
    piece *it = malloc(sizeof(*it) + (size ? size : 1));

    if (!it)
        abort();
    it->next = pieces.next;
    it->prev = &pieces;
    pieces.next = it->next->prev = it;
    apr_pool_cleanup_register(p, it, release, apr_pool_cleanup_null);
    return it + 1;
}

void *__wrap_apr_pcalloc(apr_pool_t *p, apr_size_t size)
{
    return memset(__wrap_apr_palloc(p, size), 0, size);
}

char *__wrap_apr_pstrmemdup(apr_pool_t *p, const char *s, apr_size_t n)
{
    char *copy = __wrap_apr_palloc(p, n + 1);

    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *__wrap_apr_pstrdup(apr_pool_t *p, const char *s)
{
    return s ? __wrap_apr_pstrmemdup(p, s, strlen(s)) : NULL;
}

char *__wrap_apr_psprintf(apr_pool_t *p, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = apr_pvsprintf(p, fmt, ap);
    va_end(ap);
    return __wrap_apr_pstrdup(p, text);
}

char *__wrap_apr_pstrcat(apr_pool_t *p, ...)
{
    char *text = __wrap_apr_pstrdup(p, ""), *next;
    const char *s;
    va_list ap;

    va_start(ap, p);
    while ((s = va_arg(ap, const char *)) != NULL) {
        next = __wrap_apr_palloc(p, strlen(text) + strlen(s) + 1);
        memcpy(next, text, strlen(text) + 1);
        memcpy(next + strlen(text), s, strlen(s) + 1);
        text = next;
    }
    va_end(ap);
    return text;
}
