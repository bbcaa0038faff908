/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_process.h"

#include <sys/prctl.h>

/* LeakSanitizer looks into the process from outside. */
#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifndef WATCHED
#define WATCHED 0
#endif

void relay_process_keep_secrets(void)
{
    if (!WATCHED)
        prctl(PR_SET_DUMPABLE, 0);
}
