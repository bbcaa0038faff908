/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static relay_log_sink *installed;
static void *installed_baton;

void relay_log_install(relay_log_sink *sink, void *baton)
{
    installed_baton = baton;
    installed = sink;
}

void relay_log(relay_log_level level, const char *fmt, ...)
{
    char line[1024], *c;
    va_list ap;

    if (!installed)
        return;
    va_start(ap, fmt);
    apr_vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    for (c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    installed(installed_baton, level, line);
}

void relay_log_to_stderr(void *baton, relay_log_level level, const char *line)
{
    if (level <= RELAY_LOG_NOTICE)
        fprintf(stderr, "%s: %s\n", (const char *)baton, line);
}

void relay_log_to_syslog(void *baton, relay_log_level level, const char *line)
{
    static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

    syslog(priority[level], "%s", line);
}
