/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_issue.h"
#include "relay_duration.h"

#include <string.h>

#define WIDE APR_UINT64_C(4294967296)
#define NARROW_COOLDOWNS 10

relay_space relay_issue_space(const relay_config *cfg)
{
    apr_uint64_t cooldown = (apr_uint64_t)apr_time_as_msec(cfg->cooldown);

    if (cfg->listen->size >= WIDE)
        return RELAY_SPACE_WIDE;
    return cfg->listen->size < NARROW_COOLDOWNS * cooldown ? RELAY_SPACE_NARROW : RELAY_SPACE_ROOMY;
}

const char *relay_issue_space_word(relay_space space)
{
    static const char *const words[] = {[RELAY_SPACE_WIDE] = "wide",
                                        [RELAY_SPACE_ROOMY] = "roomy",
                                        [RELAY_SPACE_NARROW] = "narrow"};

    return words[space];
}

static const char *span(const char *ms, apr_pool_t *p)
{
    apr_interval_time_t t = apr_time_from_msec(apr_atoi64(ms)) + APR_USEC_PER_SEC - 1;

    return relay_duration_print(t - t % APR_USEC_PER_SEC, p);
}

apr_status_t relay_issue_refused(const relay_config *cfg, const char *because, const char *ms,
                                 apr_pool_t *p, const char **why)
{
    if (strcmp(because, "lost") == 0)
        RELAY_WHY(why, p,
                  "Redis has lost what it knew of %s, and with it which listen addresses may not "
                  "come back yet; the cooldown is over in %s: open the tunnel then",
                  cfg->name, span(ms, p));
    else if (strcmp(because, "unseen") == 0)
        RELAY_WHY(why, p,
                  "rlyd on %s last looked %s ago which listen addresses are in use, longer ago "
                  "than half the cooldown of %s: an address that comes back might still lead to "
                  "the device that had it before; start rlyd there, and open the tunnel then",
                  cfg->name, span(ms, p), relay_duration_print(cfg->cooldown, p));
    else
        RELAY_WHY(why, p,
                  "rlyd on %s has not looked which listen addresses are in use since Redis "
                  "started: an address that comes back might still lead to the device that had it "
                  "before; start rlyd there, and open the tunnel then",
                  cfg->name);
    return RELAY_EUNREACHABLE;
}
