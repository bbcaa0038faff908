/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The kept corpora, run through their targets once: a crash or a broken promise ends the program.
 * What it prints is TAP; a corpus has to hold inputs of both kinds, so that the replay cannot pass
 * by never getting past the first check. usage: replay CORPUS-DIRECTORY
 */
#include "fuzz.h"

#include <dirent.h>

static void *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *data = malloc(65536);

    MUST(f && data);
    *size = fread(data, 1, 65536, f);
    fclose(f);
    return data;
}

static int shown(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    const fuzz_target *t;
    int n = 0, failed = 0;

    for (t = fuzz_targets; t->name; t++) {
        char path[4096];
        struct dirent **files = NULL;
        int i, count, taken = 0;

        snprintf(path, sizeof(path), "%s/%s", argc > 1 ? argv[1] : "corpus", t->name);
        count = scandir(path, &files, shown, alphasort);
        for (i = 0; i < count; i++) {
            size_t size;
            void *data;

            snprintf(path, sizeof(path), "%s/%s/%s", argc > 1 ? argv[1] : "corpus", t->name,
                     files[i]->d_name);
            fprintf(stderr, "%s\n", path); /* the one to look at when this is the last line */
            data = read_file(path, &size);
            taken += fuzz_run(t, data, size);
            free(data);
            free(files[i]);
        }
        free(files);
        if (count < 2 || taken == 0 || taken == count) {
            failed++;
            printf("not ");
        }
        printf("ok %d - %s: %d inputs, %d of them taken\n", ++n, t->name, count, taken);
        fflush(stdout);
    }
    printf("1..%d\n", n);
    return failed > 0;
}
