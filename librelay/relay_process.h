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

#endif
