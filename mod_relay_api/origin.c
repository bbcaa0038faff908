/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "origin.h"

#include <string.h>
#include <strings.h>

int api_origin_is_own(int changes, const char *site, const char *origin, const char *host)
{
    static const char scheme[] = "https://";

    if (site)
        return strcmp(site, "same-origin") == 0 || (!changes && strcmp(site, "none") == 0);
    if (origin)
        return host && strncasecmp(origin, scheme, sizeof(scheme) - 1) == 0 &&
               strcasecmp(origin + sizeof(scheme) - 1, host) == 0;
    return !changes;
}
