/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * What tenants' admins make, tokens and enrolment codes: for whom, and what is answered. The call's
 * thread.
 */
#ifndef RELAY_API_MADE_H
#define RELAY_API_MADE_H

#include "api.h"

#include <jansson.h>

/**
 * For which tenant it is, and how long it shall live.
 * @param tenant that was asked for, or NULL @param ttl that was asked for
 * @param things what is made: `tokens'
 * @param whose out: the tenant; NULL: nobody's, or everybody's
 * @return DECLINED, or the call's answer: another tenant's, or no time
 */
int api_made_for(api_call *c, const char *tenant, const char *ttl, const char *things,
                 const char **whose, apr_interval_time_t *lives);

/**
 * Answers what was made, with its text, which is shown once.
 * @param thing `token', which names the member with the text as well
 * @param json is dropped @param text NULL: it was made before, under the call's Idempotency-Key
 */
int api_made_answer(api_call *c, const char *thing, const char *id, json_t *json, const char *text);

#endif
