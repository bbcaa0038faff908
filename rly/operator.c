/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "rly.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART_MAX 64

/* A name as it may stand in the records: characters of login and host names, and no others. */
static const char *clean(const char *name, apr_pool_t *p)
{
    char *s = apr_pstrmemdup(p, name, strnlen(name, PART_MAX));

    for (char *c = s; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
            *c = '_';
    return s;
}

static const char *user(apr_pool_t *p)
{
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *pw;

    /* The variable means something only for root, who has it from sudo; the user must exist. */
    if (sudo && *sudo && getuid() == 0 && (pw = getpwnam(sudo)) != NULL)
        return clean(pw->pw_name, p);
    if ((pw = getpwuid(getuid())) != NULL)
        return clean(pw->pw_name, p);
    return apr_psprintf(p, "uid%ld", (long)getuid());
}

const char *rly_operator(apr_pool_t *p)
{
    char host[256] = "";

    if (gethostname(host, sizeof(host) - 1) != 0 || !*host)
        strcpy(host, "localhost");
    return apr_psprintf(p, "%s@%s", user(p), clean(host, p));
}
