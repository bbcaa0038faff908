/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Finds the tunnel that the operator means, by a word that he has at hand. Where it can, the form
 * of the word alone says what it is. A word that means two tunnels is refused, so that nothing is
 * done to another one than was meant. The first of these forms counts:
 *
 *   has ://                   URL: its host must be NAME.domain; path, port and query do not matter
 *   ends with .pub            key file: the open tunnel of that public key
 *   SHA256: and 43 of base64  fingerprint: an open tunnel; without SHA256: where it can be no name
 *   NAME.domain[:PORT]        host: that name, in upper or lower case
 *   a label in lower case     id, else name, else device; a name that is another's device is
 *                             refused
 *   anything else             device: as it was given to -d; of several open tunnels: refused
 */
#ifndef RLY_FIND_H
#define RLY_FIND_H

#include "rly.h"

#include <apr_tables.h>

/** A paragraph for the help of each command that takes a TUNNEL. */
#define RLY_FIND_HELP \
    "\n" \
    "TUNNEL is what you have at hand: its id; a name of it (nas-bern), that name as a host " \
    "(nas-bern.DOMAIN) or as a URL, whatever stands behind the host; its device, where no other " \
    "open tunnel has the same; its key's fingerprint (SHA256:...) or public half (id_relay.pub). " \
    "What could mean two tunnels is refused, with the ids of both.\n"

/** What a command that needs a TUNNEL says without one. */
#define RLY_FIND_WHICH "which tunnel? Give its id, name, URL, device or key"

/**
 * @return APR_SUCCESS; RELAY_ENOTFOUND; RELAY_EREFUSED where it means several tunnels, none of this
 *         relay's domain, or a key file that cannot be used; RELAY_ERECORD or RELAY_EUNREACHABLE;
 * all with *why
 */
apr_status_t rly_find(relay_tunnel **out, rly *r, const char *word, const char **why);

#endif
