/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A request's JSON, read strictly by a list of the members that may be there: what is not known, is
 * there twice or has another type is refused. Pure.
 */
#ifndef RELAY_API_MEMBER_H
#define RELAY_API_MEMBER_H

#include "relay.h"

#include <jansson.h>
#include <stddef.h>

/** The type of a member, and of where it is put. */
typedef enum {
    API_TEXT,   /* const char *: a string */
    API_SWITCH, /* int: true or false */
    API_NUMBER, /* apr_int64_t: a number without fractions, that is not negative */
    API_TEXTS   /* apr_array_header_t *, of const char *: an array of strings and, where may_null
                   is set, of null */
} api_member_type;

typedef struct api_member {
    const char *name;
    api_member_type type;
    int required, may_null; /* null counts as not there */
    size_t offset;          /* in what is filled */
} api_member;

#define API_MEMBERS_MAX 64 /* elements of an array */

typedef struct api_fault {
    const char *member; /* its path: services.0; "" for the whole */
    const char *why;
} api_fault;

/**
 * Reads an object.
 * @param out zeroed; the strings are copies in pool p
 * @param members ended by one without a name
 * @return APR_SUCCESS; RELAY_EINPUT with *fault
 */
apr_status_t api_members_read(void *out, const char *text, apr_size_t len,
                              const api_member *members, apr_pool_t *p, api_fault *fault);

#endif
