/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tells systemd how rlyd is, by sd_notify(3)'s protocol: one datagram. Without NOTIFY_SOCKET
 * nothing happens.
 */
#ifndef RLYD_GROUND_NOTIFY_H
#define RLYD_GROUND_NOTIFY_H

#include <stdint.h>

/** Reads NOTIFY_SOCKET and WATCHDOG_USEC, and takes them out of the environment: they are not for
 * our children. */
void notify_init(void);

/** Sends `READY=1` and the like, several lines at once if need be. */
void notify_send(const char *state);

/** READY=1 with a sentence for `systemctl status`. */
void notify_ready(const char *status);

/** How often the watchdog wants to hear WATCHDOG=1, in ms; 0: never. */
int64_t notify_watchdog_ms(void);

#endif
