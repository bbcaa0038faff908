/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The log sink: librelay reports through it, and each host program installs its own (stderr,
 * syslog, httpd's error log). Without one, lines are dropped.
 *
 * Every line has a stable tag of the form RLYnnn and, where there is one, the tunnel id. Secrets
 * are never handed to it.
 */
#ifndef RELAY_LOG_H
#define RELAY_LOG_H

#include "relay.h"

typedef enum {
    RELAY_LOG_ERR,
    RELAY_LOG_WARNING,
    RELAY_LOG_NOTICE,
    RELAY_LOG_INFO,
    RELAY_LOG_DEBUG
} relay_log_level;

/** A sink. Any thread that uses librelay may call it. */
typedef void relay_log_sink(void *baton, relay_log_level level, const char *line);

/** Installs the process's sink; call it before other threads start. NULL removes it. */
void relay_log_install(relay_log_sink *sink, void *baton);

/** Writes one line; control characters in it are replaced by `?`. */
void relay_log(relay_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** A ready sink for command line programs: `program: line` on stderr. baton: the program's name. */
void relay_log_to_stderr(void *baton, relay_log_level level, const char *line);

/** A ready sink for daemons and helpers: syslog(3), after the program has called openlog(3). */
void relay_log_to_syslog(void *baton, relay_log_level level, const char *line);

#endif
