/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Reads sshd's configuration for its AuthorizedKeysCommand and for the options that the command
 * gives to relay-authkeys.
 */
#ifndef SSHDCOMMAND_H
#define SSHDCOMMAND_H

#include "relay_config.h"

typedef struct sshd_command {
    const char *file; /* where the line stands; NULL: there is none for this user */
    int line;
    const char *program; /* as it is written there; NULL for `none` */
    const char *user;    /* AuthorizedKeysCommandUser; NULL: it is missing */
    const char *conf;    /* -c FILE of relay-authkeys; NULL: none, or another program */
    int loopback_only;   /* its -l */
} sshd_command;

/**
 * Follows Include and Match User; a Match by anything else counts for nobody.
 * @param config the file of sshd's configuration
 * @param login the tunnel user, for `Match User`
 * @param trouble out: the first file that could not be read, or NULL
 */
void sshd_command_read(sshd_command *out, const char *config, const char *login, apr_pool_t *p,
                       const char **trouble);

#endif
