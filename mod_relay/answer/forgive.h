/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The lines of an answer's head, as browsers forgive them: what is no header field is left out, and
 * what says how long the body is must be clear. Pure functions over bytes, linear, any thread; they
 * know nothing of httpd.
 */
#ifndef MOD_RELAY_FORGIVE_H
#define MOD_RELAY_FORGIVE_H

#include <apr.h>

typedef enum {
    MOD_RELAY_LINE_KEEP,   /* it goes on as it is */
    MOD_RELAY_LINE_CHANGE, /* another one goes on in its place */
    MOD_RELAY_LINE_SKIP,   /* left out; it says nothing that is not known */
    MOD_RELAY_LINE_DROP,   /* left out; it is no header field, and *why says why */
    MOD_RELAY_LINE_BODY,   /* no status line: the body has begun */
    MOD_RELAY_LINE_FAULT   /* the answer cannot be used, and *why says why */
} mod_relay_line;

/** What the lines of one head have said so far of the body. All zero at first. */
typedef struct mod_relay_framing {
    int status;
    int chunked;
    int sized;
    apr_uint64_t size;
} mod_relay_framing;

/** The longest line that is made here, with a NUL. */
#define MOD_RELAY_LINE_MADE 256

/**
 * Judges a status line, without its line end; sets framing->status.
 * @param made receives the line that goes on, where that is another one
 */
mod_relay_line mod_relay_forgive_status(mod_relay_framing *framing, const char *line,
                                        apr_size_t length, char made[MOD_RELAY_LINE_MADE],
                                        const char **why);

/** Whether an answer that begins with these bytes may have a status line. */
int mod_relay_forgive_has_status(const char *line, apr_size_t length);

/**
 * Judges a field, without its line end and unfolded.
 * @param folded it stood in more than one line
 * @param made as above
 */
mod_relay_line mod_relay_forgive_field(mod_relay_framing *framing, const char *line,
                                       apr_size_t length, int folded,
                                       char made[MOD_RELAY_LINE_MADE], const char **why);

/** Whether a line, bad as it is, could be read by somebody as one that says how long a body is. */
int mod_relay_forgive_may_frame(const char *line, apr_size_t length);

#endif
