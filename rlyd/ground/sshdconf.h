/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * A value of sshd's configuration by its keyword, read as sshd_config(5) says. The first one
 * counts, and keywords have any case. What follows a Match line is left out.
 */
#ifndef RLYD_GROUND_SSHDCONF_H
#define RLYD_GROUND_SSHDCONF_H

#include <stddef.h>

/** @return 1 with the value in out; 0 when there is none, or it does not fit, or the file cannot be
 * read */
int sshdconf_value(const char *path, const char *keyword, char *out, size_t size);

#endif
