/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What a program of ours does for itself when it starts.
 */
#ifndef RELAY_PROCESS_H
#define RELAY_PROCESS_H

/**
 * Keeps what this process reads to itself, relay.conf's password above all: it leaves no core file,
 * and other processes of the same user cannot look into it. Not for httpd, where CoreDumpDirectory
 * is the administrator's.
 */
void relay_process_keep_secrets(void);

#endif
