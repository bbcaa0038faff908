/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: relayrewrite's stdin. The program itself, with files for stdin and stdout. */

int relayrewrite_main(int argc, char **argv);
#define main relayrewrite_main
/* Its functions are static. NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../../relayrewrite/relayrewrite.c"
#undef main

#include "fuzz.h"

#include <sys/mman.h>

static const char route[] = "*14\r\n$1\r\nv\r\n$1\r\n1\r\n$6\r\ntunnel\r\n$3\r\nabc\r\n$"
                            "5\r\nrelay\r\n$6\r\nrelay1\r\n$6\r\nlisten\r\n$16\r\n"
                            "127.77.0.5:10000\r\n$6\r\nscheme\r\n$4\r\nhttp\r\n$7\r\nexpires\r\n$"
                            "13\r\n1999999999999\r\n$6\r\ndevice\r\n$1\r\nd\r\n"
                            ":60000\r\n*0\r\n";

static void redirect(int fd, const char *bytes, size_t size)
{
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size &&
         lseek(fd, 0, SEEK_SET) == 0);
}

int fuzz_rewrite(const char *text, size_t size, apr_pool_t *p)
{
    static int in = -1, out = -1;
    resolver rs = {.conf = fuzz_config()};
    char answers[4096 * sizeof("127.77.0.5:10000")], *answer, *end;
    size_t lines = 0, i;
    int kept[2], found = 0;
    ssize_t n;

    if (in < 0) {
        in = memfd_create("stdin", MFD_CLOEXEC);
        out = memfd_create("stdout", MFD_CLOEXEC);
    }
    apr_pool_create(&rs.pool, p);
    apr_pool_create(&rs.scratch, p);
    relay_store_create(&rs.store, rs.conf, rs.pool);
    fuzz_redis_says(route, sizeof(route) - 1);
    redirect(in, text, size);
    redirect(out, "", 0);
    for (i = 0; i < 2; i++)
        kept[i] = dup((int)i);
    dup2(in, 0);
    dup2(out, 1);
    serve(&rs);
    for (i = 0; i < 2; i++) {
        dup2(kept[i], (int)i);
        close(kept[i]);
    }

    for (i = 0; i < size; i++)
        lines += text[i] == '\n' || i + 1 == size;
    n = pread(out, answers, sizeof(answers) - 1, 0);
    MUST(n >= 0 && (size_t)n < sizeof(answers) - 1);
    answers[n] = '\0';
    for (answer = answers; *answer;
         answer = end + 1) { /* one answer for each line, and each of the two forms */
        MUST((end = strchr(answer, '\n')) != NULL);
        *end = '\0';
        MUST(strcmp(answer, "NULL") == 0 || strcmp(answer, "127.77.0.5:10000") == 0);
        found |= *answer == '1';
        MUST(lines-- > 0);
    }
    MUST(lines == 0);
    return found;
}
