/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A table of how many of something each key holds at this moment, in memory that all processes of
 * httpd share. It knows nothing of httpd. A tunnel's id is the key of its requests; what else is
 * counted has a key that begins with a character of its own.
 *
 * A count is the sum of one number for each process, in that process's row. Nothing else is kept:
 * when the row of a killed process is cleared, its part of every count is gone. Taking needs a
 * lock, of the kind that survives its owner's death; giving back is one atomic step.
 *
 * Any thread of any process may call these, except init (before the first fork) and leave (the
 * parent).
 */
#ifndef MOD_RELAY_COUNTS_H
#define MOD_RELAY_COUNTS_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_time.h>
#include <sys/types.h>

/** A key is shorter than this; a longer one is not counted. */
#define MOD_RELAY_COUNTS_KEY_SIZE 40

/** Changes with the layout. A graceful restart may bring a newer module to a table that older
 * processes still use. */
#define MOD_RELAY_COUNTS_VERSION 2

typedef struct mod_relay_counts mod_relay_counts;

/** The bytes of a table for so many processes (rows), and so many keys that hold something at the
 * same time (cells). */
apr_size_t mod_relay_counts_size(unsigned rows, unsigned cells);

/** @param at shared, page-aligned and zeroed memory of that size */
apr_status_t mod_relay_counts_init(mod_relay_counts **out, void *at, unsigned rows, unsigned cells);

/** Takes a row for a process, once in its life. @return the row, or -1 when there is none left */
int mod_relay_counts_join(mod_relay_counts *c, pid_t pid);

/** That process has ended: everything that it held is given back. */
void mod_relay_counts_leave(mod_relay_counts *c, pid_t pid);

typedef enum {
    MOD_RELAY_TAKEN,
    MOD_RELAY_REFUSED, /* the key holds `limit` already */
    /* the table is full, or its lock could not be had; neither should ever happen */
    MOD_RELAY_UNCOUNTED
} mod_relay_taken;

/**
 * Takes one for a key, unless it holds `limit`.
 * @param now what mod_relay_counts_moved() says of it from then on, when taken
 * @param cell out: for give, when taken; else for mod_relay_counts_moved only, when refused
 */
mod_relay_taken mod_relay_counts_take(mod_relay_counts *c, int row, const char *key, unsigned limit,
                                      apr_time_t now, unsigned *cell);

/** Gives back one that this process has taken. */
void mod_relay_counts_give(mod_relay_counts *c, int row, unsigned cell, apr_time_t now);

/** When one was last taken or given back there. The cell may be another key's by now. */
apr_time_t mod_relay_counts_moved(mod_relay_counts *c, unsigned cell);

/** How many a key holds. */
unsigned mod_relay_counts_of(mod_relay_counts *c, const char *key);

/** For people to read: the count of the tunnel that holds most. */
unsigned mod_relay_counts_most(mod_relay_counts *c);

#endif
