/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_words.h"
#include "relay_name.h"
#include "relay_text.h"

#include <string.h>

apr_status_t relay_words_tenant(const char *tenant, apr_pool_t *p, const char **why)
{
    const char *fault = NULL;

    if (!tenant || relay_name_check(tenant, strlen(tenant), p, &fault) == APR_SUCCESS)
        return APR_SUCCESS;
    RELAY_WHY(why, p, "`%.80s' cannot be a tenant, which is written as a name is: %s", tenant,
              fault);
    return RELAY_EINPUT;
}

apr_status_t relay_words_label(const char *label, apr_pool_t *p, const char **why)
{
    if (!label || (strlen(label) <= RELAY_LABEL_MAX && relay_text_is_plain(label)))
        return APR_SUCCESS;
    RELAY_WHY(why, p,
              "the label must be at most %d bytes of UTF-8 without control characters and marks "
              "that turn the direction of text",
              RELAY_LABEL_MAX);
    return RELAY_EINPUT;
}

apr_status_t relay_words_ttl(apr_interval_time_t ttl, const char *what, apr_pool_t *p,
                             const char **why)
{
    if (ttl > 0)
        return APR_SUCCESS;
    RELAY_WHY(why, p, "%s has to live for some time, for example 12h or 90d", what);
    return RELAY_EINPUT;
}
