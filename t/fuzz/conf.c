/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Fuzz target: relay.conf. */

#include "fuzz.h"
#include "relay_name.h"

#include <ctype.h>
#include <sys/mman.h>
#include <unistd.h>

int fuzz_conf(const char *text, size_t size, apr_pool_t *p)
{
    static int fd = -1;
    relay_config *cfg = NULL;
    const char *why = NULL, *path;
    size_t len;

    if (fd < 0)
        fd = memfd_create("relay.conf", MFD_CLOEXEC);
    MUST(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, text, size, 0) == (ssize_t)size);
    path = apr_psprintf(p, "/proc/self/fd/%d", fd);
    if (relay_config_load(&cfg, path, NULL, p, &why) != APR_SUCCESS) {
        len = strlen(path);
        MUST(why && strncmp(why, path, len) == 0 && why[len] == ':');
        MUST(!cfg);
        return 0;
    }
    MUST(relay_name_check(cfg->name, strlen(cfg->name), NULL, NULL) == APR_SUCCESS);
    MUST(*cfg->domain && cfg->domain[0] != '.' && cfg->domain[strlen(cfg->domain) - 1] != '.');
    MUST(cfg->ssh_host && *cfg->ssh_host && cfg->ssh_port && cfg->listen->size > 0);
    MUST(cfg->redis_timeout > 0 && cfg->cooldown > 0 && cfg->ttl > 0 && cfg->ttl <= cfg->ttl_max);
    MUST(cfg->https_port >= 1 && cfg->https_port <= 65535 &&
         cfg->max_startups_start <= cfg->max_startups_full);
    return 1;
}
