/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What sshd is told to run: the AuthorizedKeysCommand of its configuration, and what that gives to
 * relay-authkeys.
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
 * @param config sshd's configuration
 * @param login the tunnel user, for `Match User`
 * @param trouble out: the first file that could not be read, or NULL
 */
void sshd_command_read(sshd_command *out, const char *config, const char *login, apr_pool_t *p,
                       const char **trouble);

#endif
