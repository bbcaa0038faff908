/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The program that script/fuzz runs: libFuzzer's main, with the target that RELAY_FUZZ names. */

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Two faults that have to be found, which shows that faults are: t/fuzz.t. */
static int canary(const char *text, size_t size, apr_pool_t *p)
{
    char *piece = apr_palloc(p, 3);

    memset(piece, 'x', 3);
    if (strncmp(text, "heap", 4) == 0)
        return ((volatile const char *)text)[size + 1];
    if (strncmp(text, "pool", 4) == 0)
        return ((volatile char *)piece)[size > 3 ? 3 : 0];
    return 0;
}

static const fuzz_target canary_target = {"canary", canary, 100};

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const fuzz_target *t;

    if (!t) {
        const char *name = getenv("RELAY_FUZZ");

        if (name && strcmp(name, "canary") == 0)
            t = &canary_target;
        else if (!name || (t = fuzz_target_find(name)) == NULL) {
            fprintf(stderr, "RELAY_FUZZ must name a target:");
            for (t = fuzz_targets; t->name; t++)
                fprintf(stderr, " %s", t->name);
            fprintf(stderr, "\n");
            exit(2);
        }
    }
    fuzz_run(t, data, size);
    return 0;
}
