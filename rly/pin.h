/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The relay's ssh host keys, for the bundle to pin.
 */
#ifndef RLY_PIN_H
#define RLY_PIN_H

#include "rly.h"

#include <apr_tables.h>

/**
 * Reads them from `relay:<name>`, where rlyd writes them, else from sshd's own files.
 * @param lines out: array of const char *, each `type base64`
 * @return APR_SUCCESS; RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t rly_hostkeys(apr_array_header_t **lines, rly *r, const char **why);

#endif
