/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What each program does first, for its own protection.
 */
#ifndef RELAY_PROCESS_H
#define RELAY_PROCESS_H

/**
 * Keeps secrets in this process, relay.conf's password above all. It leaves no core file, and other
 * processes of the same user cannot look into it. Not for httpd, where CoreDumpDirectory
 * is the administrator's.
 */
void relay_process_keep_secrets(void);

/**
 * Undoes what the process may have inherited from a session of sshd's that is laid out like others
 * to save memory (sshd-wrap/): has itself started anew with address randomisation, and its pages
 * not merged. Call it before anything else. It returns where there is nothing to undo, or that
 * fails.
 */
void relay_process_stand_alone(char **argv);

#endif
