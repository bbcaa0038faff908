/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "sshdconf.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char separators[] = " \t\r\n=";

int sshdconf_value(const char *path, const char *keyword, char *out, size_t size)
{
    char line[4096];
    FILE *f = fopen(path, "re");
    int found = 0;

    if (!f)
        return 0;
    while (!found && fgets(line, sizeof(line), f)) {
        char *word = line + strspn(line, " \t"), *value;
        size_t len = strcspn(word, separators);

        if (len == 5 && strncasecmp(word, "Match", 5) == 0)
            break;
        if (len != strlen(keyword) || strncasecmp(word, keyword, len) != 0)
            continue;
        value = word + len + strspn(word + len, " \t=");
        if (*value == '"') {
            value++;
            len = strcspn(value, "\"\r\n");
        }
        else {
            len = strcspn(value, " \t\r\n");
        }
        if (len == 0 || len >= size)
            break;
        memcpy(out, value, len);
        out[len] = '\0';
        found = 1;
    }
    fclose(f);
    return found;
}
