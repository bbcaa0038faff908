/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The few lines of sshd's configuration that rlyd needs to know: a value by its keyword, as
 * sshd_config(5) reads them: the first one counts, keywords in any case, what follows a Match line
 * is left out.
 */
#ifndef RLYD_SSHDCONF_H
#define RLYD_SSHDCONF_H

#include <stddef.h>

/** @return 1 with the value in out; 0 when there is none, or it does not fit, or the file cannot be
 * read */
int sshdconf_value(const char *path, const char *keyword, char *out, size_t size);

#endif
