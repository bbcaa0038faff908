/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * The relay's ssh host keys, for a device to pin.
 */
#ifndef RELAY_PIN_H
#define RELAY_PIN_H

#include "relay_store.h"

#include <apr_tables.h>

/**
 * Reads them from `relay:<name>`, where rlyd writes them, else from sshd's own files.
 * @param lines out: array of const char *, each `type base64`
 * @return APR_SUCCESS; RELAY_ENOTFOUND, RELAY_ERECORD or RELAY_EUNREACHABLE with *why
 */
apr_status_t relay_pin_read(apr_array_header_t **lines, const relay_config *cfg, relay_store *s,
                            apr_pool_t *p, const char **why);

/** Whether a line is one such key, in characters that can do no harm in known_hosts: a marker, a
 * host's name or a newline could. */
int relay_pin_is_key(const char *line);

#endif
