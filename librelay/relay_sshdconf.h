/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Reads sshd's configuration line by line, as sshd_config(5) says: keywords in any case, `Include`,
 * `Match`, and the quoting of sshd's own parser (argv_split() in OpenSSH's misc.c).
 */
#ifndef RELAY_SSHDCONF_H
#define RELAY_SSHDCONF_H

#include "relay.h"

typedef struct relay_sshdconf_line {
    const char *file;
    int number;
    const char *keyword;
    char *rest;      /* its arguments, for relay_sshdconf_argument() */
    int conditional; /* it stands below a Match */
    int matches; /* and that Match is for this user; 1 where there is none. Criteria that say more
                    than which user (Group, Host, Address …) match nobody here */
} relay_sshdconf_line;

/** Takes a line; it may change line->rest. */
typedef void relay_sshdconf_take(void *baton, const relay_sshdconf_line *line, apr_pool_t *p);

/**
 * Gives each line to take, those of included files in their place.
 * @param user the user that Match lines are compared with
 * @param trouble out: the first file that could not be read, or NULL; may be NULL
 */
void relay_sshdconf_read(const char *path, const char *user, relay_sshdconf_take *take, void *baton,
                         apr_pool_t *p, const char **trouble);

/** Takes the next argument off a line, in place. @return it, or NULL at the end of the line and
 * where a comment starts */
char *relay_sshdconf_argument(char **rest);

#endif
