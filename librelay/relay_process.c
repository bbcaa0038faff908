/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "relay_process.h"

#include <sys/personality.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#endif

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

void relay_process_stand_alone(char **argv)
{
    int persona = personality(0xffffffff); /* asks */

    prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
    if (persona != -1 && (persona & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)persona & ~(unsigned long)ADDR_NO_RANDOMIZE) != -1)
        execv("/proc/self/exe", argv);
}
