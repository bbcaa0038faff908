/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * Tells whose a chosen name was before, and what to say of it to the operator. Browsers keep what a
 * device left under its name: pages, service workers, cookies. Those must not speak for the next
 * device under that name, so open.lua remembers who had it (`was:` in relay_store.h). The same
 * label is the same device.
 */
#ifndef RELAY_HANDOVER_H
#define RELAY_HANDOVER_H

#include "relay.h"

typedef enum {
    RELAY_NAME_NEW,    /* nobody had it, as far as is remembered, or it is random */
    RELAY_NAME_SAME,   /* the last device that had it has the same label */
    RELAY_NAME_UNSURE, /* it or this one has no label: it counts as the same */
    RELAY_NAME_TAKEN   /* it was another device's; browsers are told to forget that one */
} relay_name_was;

typedef struct relay_handover {
    relay_name_was was;
    const char *last; /* the last label known of the name, "" if there is none */
} relay_handover;

/** Reads open.lua's words. An unknown word counts as unsure. */
void relay_handover_read(relay_handover *h, const char *was, const char *last, apr_pool_t *p);

/**
 * Says why a name is refused: it was another device's.
 * @param until_ms when that is forgotten, in milliseconds since 1970, as text
 */
void relay_handover_refused(const char *name, const char *last, const char *until_ms, apr_pool_t *p,
                            const char **why);

/** The same of one that was another tenant's, of which nothing is said. */
void relay_handover_foreign(const char *name, const char *until_ms, apr_pool_t *p,
                            const char **why);

/**
 * The note for the operator about a name that was given; NULL where there is nothing to say.
 * @param device the new tunnel's label, "" for none
 */
const char *relay_handover_note(const relay_handover *h, const char *name, const char *device,
                                apr_pool_t *p);

#endif
