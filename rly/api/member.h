/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Members of a JSON object that somebody else has made, each with its form. The first one that has
 * not is kept; what is read after that counts for nothing.
 */
#ifndef RLY_API_MEMBER_H
#define RLY_API_MEMBER_H

#include "relay.h"

#include <apr_tables.h>
#include <jansson.h>

#define RLY_PAGE_ROWS 1000 /* rly asks for 200 */
#define RLY_CURSOR_BYTES 2000

typedef struct rly_members {
    const json_t *json; /* what is no object has no member */
    apr_pool_t *p;      /* of results */
    const char *wrong; /* the first member that is missing or has not its form; NULL: none so far */
} rly_members;

/** A text without anything that a terminal acts on, of at most max bytes. NULL where it is wrong.
 */
const char *rly_member_text(rly_members *m, const char *name, apr_size_t max);

/** The same, or NULL where the member is null. */
const char *rly_member_text_or_null(rly_members *m, const char *name, apr_size_t max);

/** An id or a label (relay_name_check()). */
const char *rly_member_label(rly_members *m, const char *name);

/** An array of texts: const char *. Not NULL. */
apr_array_header_t *rly_member_texts(rly_members *m, const char *name, int nmax, apr_size_t max);

/** The same as one text, with blanks between them. */
const char *rly_member_words(rly_members *m, const char *name, apr_size_t max);

/** `2026-11-20T21:05:00Z`. @param may_be_null 0 then */
apr_time_t rly_member_time(rly_members *m, const char *name, int may_be_null);

int rly_member_switch(rly_members *m, const char *name);

/** 1 to 65535. */
int rly_member_port(rly_members *m, const char *name);

/** A whole number from 0 to most. */
apr_int64_t rly_member_number(rly_members *m, const char *name, apr_int64_t most);

/** The same, or -1 where the member is null. */
apr_int64_t rly_member_number_or_null(rly_members *m, const char *name, apr_int64_t most);

/** A number from 0 to most, as text with two digits behind the point; "" where it is null. */
const char *rly_member_decimal(rly_members *m, const char *name, double most);

/** An array of at most so many things. NULL, an array without any, where it is wrong. */
const json_t *rly_member_array(rly_members *m, const char *name, size_t most);

/** Reads one of many. @param row out */
typedef apr_status_t rly_member_row(void **row, const json_t *json, apr_pool_t *p,
                                    const char **why);

/**
 * An array of things, of at most `most`.
 * @param rows they are added
 * @param next out: what the object says of the next page: a cursor, or NULL; may be NULL where
 * there are no pages
 * @return APR_SUCCESS, or RELAY_ERECORD with *why: also as rly_members_end()
 */
apr_status_t rly_member_rows(apr_array_header_t *rows, const char **next, const json_t *json,
                             const char *name, size_t most, rly_member_row *read, apr_pool_t *p,
                             const char **why);

/** Says that a member is wrong. @return 0 */
int rly_member_wrong(rly_members *m, const char *name);

/** @return APR_SUCCESS where none was wrong; else RELAY_ERECORD with *why */
apr_status_t rly_members_end(const rly_members *m, const char **why);

#endif
