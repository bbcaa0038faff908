/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * May a listen address be issued now? The question, and what the answer depends on, are told in
 * lua/may_issue.lua, where Redis answers it. This is C's side: how large the listen space is, and
 * the answer in words.
 */
#ifndef RELAY_ISSUE_H
#define RELAY_ISSUE_H

#include "relay_config.h"

typedef enum {
    RELAY_SPACE_WIDE,  /* no address comes back */
    RELAY_SPACE_ROOMY, /* addresses come back, and the clock helps */
    RELAY_SPACE_NARROW /* it does not */
} relay_space;

relay_space relay_issue_space(const relay_config *cfg);

/** The word for it in a request to open.lua. */
const char *relay_issue_space_word(relay_space space);

/**
 * Says why no address is issued.
 * @param because, ms as may_issue() answers them
 * @return RELAY_EUNREACHABLE
 */
apr_status_t relay_issue_refused(const relay_config *cfg, const char *because, const char *ms,
                                 apr_pool_t *p, const char **why);

#endif
